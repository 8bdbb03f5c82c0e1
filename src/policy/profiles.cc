// Profiles that come with Usk. Names are those of syd(5) where the purpose is the same.
#include <algorithm>
#include <array>

#include "policy/rule_files.h"

namespace usk::policy {
namespace {

struct Profile {
  ProfileInfo info;
  std::string_view text;
};

constexpr std::array kProfiles = {
    Profile{{"off", "", "Turns everything off: rules after it say what is on"},
            R"(sandbox/all,ioctl,net,fs,force,tpe,mem,pid,lock:off
trace/allow_unsafe_exec_memory:1
trace/allow_unsafe_exec_stack:1
trace/allow_unsafe_exec_nopie:1
trace/allow_unsafe_memfd:1
trace/allow_unsafe_filename:1
trace/allow_unsafe_symlinks:1
trace/allow_unsafe_hardlinks:1
trace/allow_unsafe_create:1
trace/allow_unsafe_mount:1
trace/allow_unsafe_setid_exec:1
trace/allow_unsafe_sigreturn:1
trace/force_umask:off
segvguard/expiry:0
)"},
    Profile{{"lib", "", "Everything is off until the first process says what is on"},
            R"(include_profile off
lock:exec
)"},
    Profile{{"rand", "r", "New descriptors have random numbers"},
            R"(trace/force_rand_fd:1
)"},
    Profile{{"noscm", "", "No descriptors come in through sockets"},
            R"(deny/recvfd+!all
)"},
    Profile{{"noipv4", "6", "No addresses of IPv4"},
            R"(deny/net/bind,net/connect,net/accept+any4!*
)"},
    Profile{{"noipv6", "4", "No addresses of IPv6"},
            R"(deny/net/bind,net/connect,net/accept+any6!*
)"},
    Profile{{"fs", "f", "Files are opened on these types of file systems only"},
            R"(sandbox/fs:on
allow/fs+tmpfs,overlay,hostfs,image,proc,sysfs,devpts,mqueue
)"},
    Profile{{"landlock", "l", "Beside all else, only the system's directories: lock/ adds others"},
            R"(sandbox/lock:on
allow/lock/read,lock/readdir,lock/exec+/usr
allow/lock/read,lock/readdir,lock/exec+/bin
allow/lock/read,lock/readdir,lock/exec+/sbin
allow/lock/read,lock/readdir,lock/exec+/lib
allow/lock/read,lock/readdir,lock/exec+/lib64
allow/lock/read,lock/readdir,lock/exec+/opt
allow/lock/read,lock/readdir+/etc
allow/lock/read,lock/readdir+/sys
allow/lock/readdir+/proc
allow/lock/read,lock/write,lock/truncate,lock/readdir,lock/ioctl+/dev
)"},
    Profile{{"quiet", "q", "Denies without a word"},
            R"(default/all,ioctl,net:filter
)"},
    Profile{{"nomem", "M", "Allows memory that may be written and executed (JIT compilers)"},
            R"(trace/allow_unsafe_exec_memory:1
trace/allow_unsafe_exec_stack:1
)"},
    Profile{{"nopie", "P", "Allows programs at fixed addresses"},
            R"(trace/allow_unsafe_exec_nopie:1
)"},
    Profile{{"nomagic", "S", "No way through the links of /proc"},
            R"(trace/force_no_magiclinks:1
)"},
    Profile{{"noxdev", "X", "No way from one mount to another"},
            R"(trace/force_no_xdev:1
)"},
    Profile{{"wx", "", "What may be executed is not written"},
            R"(trace/force_wx_open:1
trace/force_umask:7177
)"},
    Profile{{"hide", "h", "Hides what may not be looked at"},
            R"(sandbox/lpath,npath:on
)"},
    Profile{{"readonly", "ro", "Nothing is written"},
            R"(deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/***
allow/write+/dev/null
)"},
    Profile{{"tty", "t", "Terminals"},
            R"(allow/read,write,stat,walk,readdir,chdir+/dev/tty
allow/read,write,stat,walk+/dev/console
allow/read,write,stat,walk,chmod,chown,chgrp,utime+/dev/pts/***
allow/read,write,stat,walk+/dev/ptmx
allow/readdir,list,chdir+/dev/pts
allow/ioctl+TCGETS,TCSETS,TCSETSW,TCSETSF,TCGETS2!,TCSETS2!,TCSETSW2!,TCSETSF2!
allow/ioctl+TIOCGWINSZ,TIOCSWINSZ,TIOCGPGRP,TIOCSPGRP,TIOCSCTTY,TIOCNOTTY,TIOCGSID
allow/ioctl+TIOCGPTN,TIOCSPTLCK,TIOCGPTLCK,TIOCGPTPEER,TIOCOUTQ,TCSBRK,TCXONC,TCFLSH,TIOCEXCL
)"},
    Profile{{"linux", "L", "The system's programs and libraries, and what each of them reads"},
            R"(# Programs and libraries.
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/usr/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/bin/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/sbin/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/lib/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/lib32/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/lib64/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/libx32/***
allow/exec,read,stat,walk,list,readdir,readlink,chdir,notify+/opt/***
allow/stat,walk,list,readdir,chdir+/
allow/stat,walk,list,readdir,chdir+/tmp
allow/stat,walk,list,readdir,chdir+/var
allow/stat,walk,list,readdir,chdir+/run
allow/stat,walk,list,readdir,chdir+/home
allow/stat,walk,list,readdir,chdir+/root
allow/stat,walk,list,readdir,chdir+/mnt
allow/stat,walk,list,readdir,chdir+/srv
allow/stat,walk,list,readdir,chdir+/media
allow/stat,walk,list,readdir,chdir+/boot
# Settings without secrets.
allow/read,stat,walk,list,readdir,readlink,chdir,notify+/etc/***
deny/read+/etc/shadow*
deny/read+/etc/gshadow*
deny/read+/etc/sudoers*
deny/read,readdir+/etc/ssh/***
deny/read,readdir+/etc/ssl/private/***
allow/read,stat,walk,list,readdir,readlink,chdir+/sys/***
allow/read,stat,walk,list,readdir,readlink,chdir+/proc/***
allow/write+/proc/[0-9]*/**
allow/stat,walk,list,readdir,readlink,chdir+/var/***
allow/read+/var/lib/**
allow/stat,walk,list,readdir,readlink,chdir+/run/***
# Devices that everybody has.
allow/read,write,stat,walk,truncate+/dev/null
allow/read,write,stat,walk+/dev/zero
allow/read,write,stat,walk+/dev/full
allow/read,write,stat,walk+/dev/random
allow/read,write,stat,walk+/dev/urandom
allow/stat,walk,list,readdir,readlink,chdir+/dev/***
# Things without a path.
allow/create+!**
allow/read,write,stat,delete+!mqueue/**
allow/sendfd,recvfd+!all
allow/net/bind,net/connect,net/accept+!unnamed
allow/net/link+route
)"},
    Profile{{"tmp", "", "Directories for temporary files"},
            R"(allow/all-x+/tmp/***
allow/all-x+/var/tmp/***
allow/all-x+/dev/shm/***
)"},
    Profile{{"container", "c", "A whole system of the sandbox's own: everything in it may be used"},
            R"(allow/all+/***
allow/all+!**
allow/sendfd,recvfd+!all
allow/net/bind,net/connect,net/accept+@**
allow/net/bind,net/connect,net/accept+!unnamed
allow/net/bind,net/connect,net/accept+any!*
allow/net/link+all
sandbox/ioctl,tpe:off
trace/allow_unsafe_exec_memory:1
trace/allow_unsafe_exec_stack:1
trace/allow_unsafe_exec_nopie:1
trace/allow_unsafe_memfd:1
trace/allow_unsafe_filename:1
trace/allow_unsafe_symlinks:1
trace/allow_unsafe_hardlinks:1
trace/allow_unsafe_create:1
trace/allow_unsafe_setid_exec:1
trace/force_umask:off
)"},
    Profile{{"immutable", "i", "As container, but the system's directories are not written"},
            R"(include_profile container
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/bin/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/boot/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/etc/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/home/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/lib/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/lib64/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/media/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/mnt/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/opt/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/sbin/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/srv/***
deny/wpath,cpath,dpath,spath,tpath,fown,fattr,mktemp+/usr/***
)"},
    Profile{{"cwd", "d", "All of the directory where the sandbox was started"},
            R"(allow/all+${SYD_PWD}/***
)"},
    Profile{{"pwd", "", "The same as cwd"},
            R"(include_profile cwd
)"},
    Profile{{"user", "u", "A user's programs: the system, the home, temporary files, no network"},
            R"(include_profile linux
include_profile tty
include_profile tmp
allow/all+${SYD_HOME}/***
deny/all+${SYD_HOME}/.ssh/***
deny/all+${SYD_HOME}/.gnupg/***
deny/all+${SYD_HOME}/.aws/***
deny/all+${SYD_HOME}/.netrc
allow/net/bind,net/connect,net/accept+/run/user/${SYD_UID}/***
sandbox/tpe:off
)"},
    Profile{{"build", "",
             "Compilers at work: the directory of the sources, temporary files, no network"},
            R"(include_profile linux
include_profile tty
include_profile tmp
include_profile cwd
allow/exec+/tmp/***
allow/exec+/var/tmp/***
allow/net/bind,net/connect,net/accept+/tmp/***
allow/stat,walk,list,readdir,readlink,read+${SYD_HOME}/.cache/***
allow/all-x+${SYD_HOME}/.cache/ccache/***
sandbox/tpe:off
trace/allow_unsafe_exec_nopie:1
trace/allow_unsafe_filename:1
trace/allow_unsafe_symlinks:1
trace/allow_unsafe_hardlinks:1
trace/allow_unsafe_create:1
)"},
    Profile{{"paludis", "", "The same as build"},
            R"(include_profile build
)"},
    Profile{{"agent", "",
             "A coding agent: the project is written, caches are read, the network is named"},
            R"(include_profile linux
include_profile tty
include_profile tmp
# The project.
include_profile cwd
allow/exec+/tmp/***
allow/net/bind,net/connect,net/accept+/tmp/***
# What package managers have fetched.
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/.cargo/***
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/.rustup/***
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/.local/***
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/.nvm/***
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/.npm/***
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/go/***
allow/read,stat,walk,list,readdir,readlink,chdir,exec+${SYD_HOME}/.cache/***
allow/read,stat+${SYD_HOME}/.gitconfig
allow/read,stat,walk,list,readdir+${SYD_HOME}/.config/git/***
allow/stat,walk,chdir+${SYD_HOME}
# What nobody's agent needs to see.
deny/all+/**/.ssh/***
deny/all+/**/.gnupg/***
deny/all+/**/.aws/***
deny/all+/**/.netrc
deny/all+/**/.npmrc
deny/all+/**/.pypirc
deny/all+/**/.cargo/credentials*
deny/all+/**/.git-credentials
deny/all+/**/.config/git/credentials
deny/all+/**/.config/gh/***
deny/all+/**/.config/gcloud/***
deny/all+/**/.azure/***
deny/all+/**/.docker/config.json
deny/all+/**/.kube/***
deny/all+/**/.local/share/keyrings/***
deny/all+/**/.password-store/***
# The sandbox's own network, and registries and forges by the addresses that hosts(5) gives them.
allow/net/bind,net/connect,net/accept+loopback!*
allow/net/connect+name!github.com!22,443
allow/net/connect+name!*.github.com!22,443
allow/net/connect+name!githubusercontent.com!443
allow/net/connect+name!*.githubusercontent.com!443
allow/net/connect+name!gitlab.com!22,443
allow/net/connect+name!*.gitlab.com!22,443
allow/net/connect+name!pypi.org!443
allow/net/connect+name!*.pypi.org!443
allow/net/connect+name!pythonhosted.org!443
allow/net/connect+name!*.pythonhosted.org!443
allow/net/connect+name!npmjs.org!443
allow/net/connect+name!*.npmjs.org!443
allow/net/connect+name!crates.io!443
allow/net/connect+name!*.crates.io!443
allow/net/connect+name!golang.org!443
allow/net/connect+name!*.golang.org!443
allow/net/connect+name!debian.org!80,443
allow/net/connect+name!*.debian.org!80,443
allow/exec+!memfd:**
sandbox/tpe:off
trace/allow_unsafe_exec_memory:1
trace/allow_unsafe_exec_nopie:1
trace/allow_unsafe_memfd:1
trace/allow_unsafe_filename:1
trace/allow_unsafe_symlinks:1
trace/allow_unsafe_hardlinks:1
trace/allow_unsafe_create:1
)"},
};

}  // namespace

std::optional<std::string_view> profile_text(std::string_view name) {
  for (const Profile& p : kProfiles) {
    if (name == p.info.name || (!name.empty() && name == p.info.short_name)) return p.text;
  }
  return std::nullopt;
}

std::vector<ProfileInfo> profiles() {
  std::vector<ProfileInfo> out;
  for (const Profile& p : kProfiles) out.push_back(p.info);
  return out;
}

}  // namespace usk::policy
