# needs: tmux
# limit: 60
# A terminal multiplexer: a server with a unix socket, clients, ptys of its own.
export TMUX_TMPDIR=/tmp TERM=screen
unset TMUX
t() { tmux -L usk$$ "$@"; }
see() { for _ in $(seq 200); do t capture-pane -p -t main | grep -q "$1" && return; sleep 0.05; done; echo "no $1"; }
t -f /dev/null new-session -d -s main -x 60 -y 10 "env PS1='ready> ' bash --norc --noprofile -i"
see '^ready>'
t send-keys -t main 'clear; echo $((6*7)); stty size; tty | cut -c 1-9' Enter
see '/dev/pts/'
t capture-pane -p -t main | sed '/^$/d'
t resize-window -t main -x 50 -y 12; t send-keys -t main 'clear; stty size' Enter; see '^12 50'
# Keys for the job come once it has the terminal: the shell would take them for itself.
t send-keys -t main "clear; sh -c 'echo up\$((1+1)); exec cat'" Enter; see '^up2'; t send-keys -t main C-z; see Stopped
t send-keys -t main 'clear; fg' Enter; see '^sh -c'; t send-keys -t main C-c; see '\^C'
t split-window -t main "echo lower; exec sleep 100"; t list-panes -t main -F '#{pane_index} #{pane_width}x#{pane_height}'
t new-window -t main -d 'exit 3'; t list-windows -t main -F '#{window_index}' | head -n 1
t set-buffer 'pasted'; t show-buffer; echo; t display-message -p -t main '#{session_name}'
t has-session -t main && echo there; t kill-server; sleep 0.2; t has-session -t main 2>/dev/null || echo gone
