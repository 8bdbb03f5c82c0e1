# needs: tar xz zstd gzip
mkdir -p data/sub; seq 20000 >data/numbers; head -c 300000 /dev/zero >data/zero; ln -s numbers data/link; echo deep >data/sub/deep; chmod 711 data/sub
tar -czf a.tgz data && tar -cJf a.txz data && tar --zstd -cf a.tzst data
for f in a.tgz a.txz a.tzst; do rm -rf out; mkdir out; tar -xf $f -C out && diff -r data out/data && stat -c '%a %F' out/data/sub out/data/link && echo "$f ok"; done
tar -tf a.tgz | sort; tar -xOf a.txz data/sub/deep
gzip -k data/numbers; gunzip -c data/numbers.gz | cmp - data/numbers && echo gzip
xz -T2 -k data/zero; xz -dc data/zero.xz | cmp - data/zero && echo xz
zstd -q -T2 data/numbers -o n.zst; zstd -dqc n.zst | md5sum
tar -cf - data | (cd out && tar -xf - ) && echo pipe
