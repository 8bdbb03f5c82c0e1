# needs: find grep sed awk xargs
mkdir -p tree/{a,b}/{1,2}; for f in tree/*/*; do echo "line one $f" >"$f/file.txt"; echo "int main() { return 0; }" >"$f/code.c"; done
find tree -type f | sort; find tree -name '*.c' -size -1k -newer tree -print | wc -l
find tree -type d -empty; find tree -name '*.txt' -exec grep -l one {} + | sort | head -n 2
find tree -type f -printf '%p %s %m\n' | sort | head -n 3; find . -maxdepth 1 -type d | sort
grep -rn main tree | sort; grep -c line tree/a/1/file.txt; grep -E 'o(n|u)e' -o tree/a/1/file.txt; echo abc | grep -P 'a(?=b)' -o
grep -v x <<<y; grep nothing tree/a/1/file.txt; echo "grep $?"
sed -i 's/one/two/' tree/a/1/file.txt; cat tree/a/1/file.txt; seq 10 | sed -n '3,5p;$p'; seq 3 | sed 's/.*/[&]/;2d'
sed -e '/main/{h;s/main/other/;G}' tree/a/1/code.c; printf 'a b\n' | sed -E 's/(.) (.)/\2 \1/'
seq 100 | awk '{s += $1} END {print s, NR}'; awk -F'[ ()]' '{print $2}' tree/b/2/code.c
awk 'BEGIN { for (i = 0; i < 5; i++) a[i] = i * i; n = asorti(a, b); print n; printf "%.3f\n", exp(1); "echo piped" | getline x; print x }'
find tree -type f -print0 | xargs -0 -n 2 -P 2 wc -c | wc -l; find tree -name code.c -delete; find tree -type f | wc -l
