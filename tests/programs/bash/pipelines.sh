# Pipelines, their statuses, process substitution, subshells.
set -o pipefail
seq 1 1000 | grep 7 | sort -rn | head -n 5
seq 5 | while read -r n; do echo "$((n * n))"; done | paste -sd+ | bc
false | true; echo "${PIPESTATUS[*]} $?"
diff <(seq 3) <(seq 2 4); echo "diff $?"
(exit 7); echo "$?"
x=$(echo a; echo b; exit 3); echo "$? $x"
yes | head -n 100000 | md5sum
tee copy1 >(wc -c >count) <<<"some text" | tr a-z A-Z; sleep 0.2; cat copy1 count
for i in 1 2 3 4 5; do echo "$i" & wait $!; done
{ echo out; echo err >&2; } 2>&1 | sort
