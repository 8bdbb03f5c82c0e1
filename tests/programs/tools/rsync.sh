# needs: rsync
mkdir -p from/sub; seq 5000 >from/a; echo b >from/sub/b; ln -s a from/link; chmod 600 from/a
rsync -a from/ to/ && diff -r from to && echo first
seq 5001 >from/a; rm from/sub/b; echo c >from/sub/c
rsync -a --delete --itemize-changes from/ to/ | grep -v '^\.d' | sort | sed 's/^\(...\).\{8\}/\1/'; diff -r from to && echo second
rsync -an --stats from/ to/ | grep 'Number of files:'
rsync -a --exclude='*.o' --include='*/' from/ third/; ls third
