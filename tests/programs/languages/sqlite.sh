# needs: sqlite3
sqlite3 db 'create table t (id integer primary key, name text); insert into t (name) values ("a"), ("b");' 'select * from t;'
sqlite3 db <<'END'
pragma journal_mode=wal;
begin; with recursive n(x) as (select 1 union all select x + 1 from n where x < 2000) insert into t (name) select 'n' || x from n; commit;
select count(*), sum(id) from t;
create index i on t (name);
select id from t where name = 'n1500';
pragma integrity_check;
END
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 5000' db "update t set name = 'w$i' where id = $i;" & done; wait
sqlite3 db 'select name from t where id <= 4 order by id; vacuum; pragma journal_mode=delete;'; ls db*
sqlite3 db .dump | md5sum
