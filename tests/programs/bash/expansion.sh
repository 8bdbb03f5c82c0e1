# What a shell does by itself: globs, arithmetic, arrays, functions, getopts, printf.
touch b.txt a.txt 'with space' .hidden; mkdir -p x/y/z; touch x/y/z/deep
echo *; echo .h*; shopt -s globstar; echo **/deep
declare -A map=([one]=1 [two]=2); for k in $(printf '%s\n' "${!map[@]}" | sort); do echo "$k=${map[$k]}"; done
s=hello.tar.gz; echo "${s%.gz} ${s##*.} ${s/l/L} ${#s} ${s^^} ${s:2:3}"
f() { local x=$1; ((x <= 1)) && echo 1 || echo $((x * $(f $((x - 1))))); }; f 12
printf '%05d|%-6s|%x\n' 42 ab 255
while getopts "ab:" o -a -b val; do echo "$o ${OPTARG:-}"; done
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"
echo {1..5} {a..e} $((0x1f + 010))
mapfile -t lines < <(seq 3); echo "${#lines[@]}"
cd x/y && pwd -P | sed 's|.*/x|x|'; cd - >/dev/null; dirs | wc -l
umask; umask 027; touch private; stat -c %a private
test -x /bin/sh && test ! -e missing && echo tests
