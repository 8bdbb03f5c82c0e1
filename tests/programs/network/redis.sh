# needs: redis-server redis-cli redis-benchmark
# limit: 120
# redis: a server of one thread and epoll, pipelines, many clients.
port=$((20000 + $$ % 10000))
redis-server --port $port --bind 127.0.0.1 ::1 --save '' --appendonly no --daemonize no >log & server=$!
until redis-cli -p $port ping >/dev/null 2>&1; do sleep 0.02; done
redis-cli -p $port set key value
redis-cli -h ::1 -p $port get key
redis-cli -p $port incrby n 41
seq 1 20000 | sed 's/.*/SET k& v&/' | redis-cli -p $port --pipe | tail -1
redis-cli -p $port dbsize
redis-benchmark -p $port -q -n 20000 -c 50 -P 4 -t set,get | grep -c 'requests per second'
redis-cli -p $port shutdown nosave; wait $server
redis-cli -p $port ping >/dev/null 2>&1; echo "exit code $?"
