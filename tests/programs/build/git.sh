# needs: git
# limit: 120
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_GLOBAL=/dev/null
git init -q -b main repo; cd repo
for i in 1 2 3 4 5; do seq $i >"file$i"; git add .; git commit -qm "commit $i"; done
git log --oneline; git rev-parse HEAD; git show --stat HEAD | tail -n 2; git diff HEAD~2 --stat | tail -n 1
git checkout -qb side HEAD~2; echo side >side; git add side; git commit -qm side; git merge -q -m merge main; git log --graph --oneline | head -n 4
git stash list; echo dirty >>side; git status --short; git stash -q; git status --short; git stash pop -q; git checkout -q -- side
cd ..; git clone -q repo clone 2>&1; cd clone; git log --oneline | wc -l; git -C ../repo gc -q; git -C ../repo fsck 2>&1 | grep -v '^dangling'; git fetch -q; git -C ../repo count-objects -v | grep -E 'in-pack|packs'
git tag v1; git describe --tags; git grep -c 1 | head -n 3; git archive HEAD | tar t | head -n 2; git bisect start HEAD HEAD~2 2>&1 | head -n 1; git bisect reset -q 2>/dev/null; git worktree add -q ../tree side 2>/dev/null || git worktree add -q ../tree HEAD 2>/dev/null; ls ..
