# needs: postgres psql setpriv
# PostgreSQL with all its shared memory of System V, a parallel query, as an ordinary user.
bin=$(dirname "$(readlink -f "$(command -v postgres)")"); dir=$(mktemp -d /tmp/pg.XXXXXX)
if [ "$(id -u)" = 0 ]; then as="setpriv --reuid=65534 --regid=65534 --clear-groups"; chown 65534:65534 "$dir"; fi
cd "$dir" && $as "$bin/initdb" -D "$dir/db" -A trust -U me >/dev/null
printf '%s\n' "listen_addresses=''" "unix_socket_directories='$dir'" shared_memory_type=sysv dynamic_shared_memory_type=sysv >>"$dir/db/postgresql.conf"
$as "$bin/pg_ctl" -D "$dir/db" -w -l "$dir/log" start >/dev/null || cat "$dir/log"
psql -h "$dir" -U me postgres -At -c 'create table t as select generate_series(1, 10000) n' -c 'set min_parallel_table_scan_size=0' \
  -c 'set parallel_setup_cost=0' -c 'set parallel_tuple_cost=0' -c 'explain (costs off) select sum(n) from t' -c 'select sum(n) from t'
$as "$bin/pg_ctl" -D "$dir/db" -w stop -m fast | tail -n 1; ipcs -m | grep -c ' 65534 '; rm -rf "$dir"
