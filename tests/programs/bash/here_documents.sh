# Here-documents, here-strings, redirections.
name=world
cat <<END
hello $name $((1 + 2)) $(echo sub)
END
cat <<'END'
$name stays
END
cat <<-END
	tabs go
	END
tr a-z A-Z <<<"$name"
exec 5>file; echo one >&5; echo two >>file; exec 5>&-; cat file
exec 6<file; read -r a <&6; read -r b <&6; echo "$a-$b"
{ echo 1; echo 2 >&2; } >out 2>err; cat out err
set -C; echo x >file 2>/dev/null || echo "noclobber"
cat <(echo first) - <<<second
while read -r line; do echo "[$line]"; done < <(printf 'a\nb\n')
big=$(head -c 200000 /dev/zero | tr '\0' x); cat <<END | wc -c
$big
END
