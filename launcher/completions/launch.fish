# Completion of launch for fish: to be put into a directory of $fish_complete_path.

function __launch_containers
    launch ps $argv --json 2>/dev/null | sed -n 's/^    "id": "\(.\{12\}\).*/\1/p; s/^    "name": "\(..*\)",$/\1/p'
end

# Whether the verb is $argv; without one it is run.
function __launch_verb
    set -l words (commandline -opc)
    set -l verb run
    if set -q words[2]; and contains -- $words[2] run start exec attach logs ps inspect stop kill wait rm pause unpause whence doctor
        set verb $words[2]
    end
    contains -- $verb $argv
end

complete -c launch -f
complete -c launch -n '__fish_use_subcommand' -a run -d 'Run a command in a new container'
complete -c launch -n '__fish_use_subcommand' -a start -d 'Run a stopped container\'s command again'
complete -c launch -n '__fish_use_subcommand' -a exec -d 'Run a further command in a container'
complete -c launch -n '__fish_use_subcommand' -a attach -d 'Join a container\'s terminal or output'
complete -c launch -n '__fish_use_subcommand' -a logs -d 'Print what a container has written'
complete -c launch -n '__fish_use_subcommand' -a ps -d 'List containers'
complete -c launch -n '__fish_use_subcommand' -a inspect -d 'Print all about containers, as JSON'
complete -c launch -n '__fish_use_subcommand' -a stop -d 'Ask containers to end; kill those that do not'
complete -c launch -n '__fish_use_subcommand' -a kill -d 'Send a signal, SIGKILL by default'
complete -c launch -n '__fish_use_subcommand' -a wait -d 'Wait for containers to end; print their exit statuses'
complete -c launch -n '__fish_use_subcommand' -a rm -d 'Remove containers with what they wrote'
complete -c launch -n '__fish_use_subcommand' -a pause -d 'Stop all processes of containers for a while'
complete -c launch -n '__fish_use_subcommand' -a unpause -d 'Let them go on'
complete -c launch -n '__fish_use_subcommand' -a whence -d 'Tell which layer shows, hid or changed a file'
complete -c launch -n '__fish_use_subcommand' -a doctor -d 'Tell what keeps containers from running here, and the cure'
complete -c launch -n '__launch_verb stop kill pause unpause exec attach whence' -a '(__launch_containers)'
complete -c launch -n '__launch_verb start rm wait logs inspect' -a '(__launch_containers -a)'

complete -c launch -n '__launch_verb run' -l image -r -a '(__fish_complete_directories)' -d 'The image: a root directory, or a directory with a layers.list'
complete -c launch -n '__launch_verb run' -l env -s e -r -d 'Set a variable; a bare NAME takes launch\'s own value. Adds up'
complete -c launch -n '__launch_verb run' -l env-file -r -d 'Set the variables that a file names, NAME=VALUE a line; -e goes before. Adds up'
complete -c launch -n '__launch_verb run' -l entrypoint -r -d 'Run this program; COMMAND is then its arguments'
complete -c launch -n '__launch_verb run' -l workdir -s w -r -d 'Directory the command starts in; made when missing. Default /'
complete -c launch -n '__launch_verb run' -l user -s u -r -d 'Run as this user, by name or number. Default 0:0'
complete -c launch -n '__launch_verb run' -l hostname -s h -r -d 'Host name. Default: the container\'s short id'
complete -c launch -n '__launch_verb run' -l network -r -a 'none bridge host pasta slirp4netns' -d 'none, bridge, host, pasta or slirp4netns. Default: none; with -p what there is'
complete -c launch -n '__launch_verb run' -l publish -s p -r -d 'Connect a port of the host, or a range, to the container\'s. Adds up'
complete -c launch -n '__launch_verb run' -l add-host -r -d 'Add a line to /etc/hosts. Adds up'
complete -c launch -n '__launch_verb run' -l dns -r -d 'A name server for /etc/resolv.conf. Adds up'
complete -c launch -n '__launch_verb run' -l detach -s d -d 'Leave it in the background; run prints the container\'s id'
complete -c launch -n '__launch_verb run' -l interactive -s i -d 'Pass stdin on, also from behind a terminal or in the background'
complete -c launch -n '__launch_verb run' -l tty -s t -d 'Give the command a terminal of its own'
complete -c launch -n '__launch_verb run' -l detach-keys -r -d 'Keys that leave the terminal. Default ctrl-p,ctrl-q'
complete -c launch -n '__launch_verb run' -l init -d 'Make launch\'s own small init PID 1: it reaps processes and passes signals on'
complete -c launch -n '__launch_verb run' -l rm -d 'Remove the container, with what it wrote, when it has ended'
complete -c launch -n '__launch_verb run' -l name -r -d 'A name of its own, which no other container may have'
complete -c launch -n '__launch_verb run' -l cidfile -r -F -d 'Write the container\'s id to a file that must not exist'
complete -c launch -n '__launch_verb run' -l pidfile -r -F -d 'Write the host\'s number of PID 1 to a file'
complete -c launch -n '__launch_verb run' -l stop-signal -r -a 'HUP INT QUIT TERM KILL USR1 USR2 STOP CONT WINCH' -d 'What stop sends. Default TERM'
complete -c launch -n '__launch_verb run' -l stop-timeout -r -d 'How long stop waits before it kills. Default 10'
complete -c launch -n '__launch_verb run' -l restart -r -d 'Only "no": there is no daemon that could restart anything'
complete -c launch -n '__launch_verb run' -l log-max-size -r -d 'Bound of the log, of which two such pieces are kept. Default 16m'
complete -c launch -n '__launch_verb run' -l volume -s v -r -F -d 'Show a file or directory of the host. Adds up'
complete -c launch -n '__launch_verb run' -l mount -r -d 'The same as -v (type=bind) or --tmpfs (type=tmpfs), in more words. Adds up'
complete -c launch -n '__launch_verb run' -l device -r -F -d 'Show a device node of the host. Adds up'
complete -c launch -n '__launch_verb run' -l tmpfs -r -d 'Mount an empty tmpfs. Adds up'
complete -c launch -n '__launch_verb run' -l shm-size -r -d 'Size of /dev/shm. Default 64m'
complete -c launch -n '__launch_verb run' -l read-only -d 'Make the root read-only; volumes and tmpfs are not'
complete -c launch -n '__launch_verb run' -l ulimit -r -d 'Resource limit, such as nofile=1024. Adds up'
complete -c launch -n '__launch_verb run' -l userns -r -f -a 'private keep-id auto host' -d 'Whose ids the container has. Default private'
complete -c launch -n '__launch_verb run' -l fake_ids -d 'Let programs believe in users that the container does not have, and record owners'
complete -c launch -n '__launch_verb run' -l cap-add -r -f -d 'Give it a capability that it would not have, or ALL. Adds up'
complete -c launch -n '__launch_verb run' -l cap-drop -r -f -d 'Take a capability from it, or ALL. Adds up'
complete -c launch -n '__launch_verb run' -l security-opt -r -f -d 'seccomp=FILE, a profile in Docker\'s format, or seccomp=unconfined'
complete -c launch -n '__launch_verb run' -l memory -s m -r -d 'Memory limit, such as 512m or 2g'
complete -c launch -n '__launch_verb run' -l memory-swap -r -d 'Limit of memory and swap together; -1 for none. Default: twice --memory'
complete -c launch -n '__launch_verb run' -l memory-reservation -r -d 'Memory that it keeps when others want some'
complete -c launch -n '__launch_verb run' -l pids-limit -r -d 'Limit of processes and threads; -1 for none'
complete -c launch -n '__launch_verb run' -l cpus -r -d 'Limit of CPU time, such as 1.5 CPUs\' worth'
complete -c launch -n '__launch_verb run' -l cpu-shares -r -d 'Share of the CPUs when others want them too; the usual one is 1024'
complete -c launch -n '__launch_verb run' -l cpuset-cpus -r -d 'The CPUs that it may run on, such as 0-2,4'
complete -c launch -n '__launch_verb run' -l cpuset-mems -r -d 'The nodes that it may have memory of'
complete -c launch -n '__launch_verb run' -l blkio-weight -r -d 'Weight of its disk accesses, 10 to 1000'
complete -c launch -n '__launch_verb run' -l best-effort -d 'Go on without limits that cannot be enforced, with a warning'
complete -c launch -n '__launch_verb run' -l profile -d 'Print on stderr what each phase of the launch took'
complete -c launch -n '__launch_verb run' -l explain -d 'Print what would be done, as JSON, and do nothing'
complete -c launch -n '__launch_verb run' -l help -d 'Print this text'
complete -c launch -n '__launch_verb run' -l version -d 'Print the version'

complete -c launch -n '__launch_verb start' -l interactive -s i -d 'Pass stdin on, also from behind a terminal or in the background'
complete -c launch -n '__launch_verb start' -l detach-keys -r -d 'Keys that leave the terminal. Default ctrl-p,ctrl-q'
complete -c launch -n '__launch_verb start' -l attach -s a -d 'Stay with it, as run does without -d'
complete -c launch -n '__launch_verb start' -l help -d 'Print this text'

complete -c launch -n '__launch_verb exec' -l env -s e -r -d 'Set a variable; a bare NAME takes launch\'s own value. Adds up'
complete -c launch -n '__launch_verb exec' -l env-file -r -d 'Set the variables that a file names, NAME=VALUE a line; -e goes before. Adds up'
complete -c launch -n '__launch_verb exec' -l workdir -s w -r -d 'Directory the command starts in; made when missing. Default /'
complete -c launch -n '__launch_verb exec' -l user -s u -r -d 'Run as this user, by name or number. Default 0:0'
complete -c launch -n '__launch_verb exec' -l detach -s d -d 'Leave it in the background; run prints the container\'s id'
complete -c launch -n '__launch_verb exec' -l interactive -s i -d 'Pass stdin on, also from behind a terminal or in the background'
complete -c launch -n '__launch_verb exec' -l tty -s t -d 'Give the command a terminal of its own'
complete -c launch -n '__launch_verb exec' -l detach-keys -r -d 'Keys that leave the terminal. Default ctrl-p,ctrl-q'
complete -c launch -n '__launch_verb exec' -l help -d 'Print this text'

complete -c launch -n '__launch_verb attach' -l detach-keys -r -d 'Keys that leave the terminal. Default ctrl-p,ctrl-q'
complete -c launch -n '__launch_verb attach' -l no-stdin -d 'Pass no input on'
complete -c launch -n '__launch_verb attach' -l sig-proxy -d 'Pass signals on. Default true'
complete -c launch -n '__launch_verb attach' -l help -d 'Print this text'

complete -c launch -n '__launch_verb logs' -l follow -s f -d 'Go on until the container ends'
complete -c launch -n '__launch_verb logs' -l timestamps -s t -d 'Begin each line with its time'
complete -c launch -n '__launch_verb logs' -l tail -s n -r -d 'Only that many of the last lines, or "all"'
complete -c launch -n '__launch_verb logs' -l help -d 'Print this text'

complete -c launch -n '__launch_verb ps' -l all -s a -d 'Those that have ended, too'
complete -c launch -n '__launch_verb ps' -l quiet -s q -d 'Ids only'
complete -c launch -n '__launch_verb ps' -l no-trunc -d 'Whole ids and commands'
complete -c launch -n '__launch_verb ps' -l json -d 'Print JSON'
complete -c launch -n '__launch_verb ps' -l help -d 'Print this text'

complete -c launch -n '__launch_verb inspect' -l json -d 'Print JSON'
complete -c launch -n '__launch_verb inspect' -l help -d 'Print this text'

complete -c launch -n '__launch_verb stop' -l signal -s s -r -a 'HUP INT QUIT TERM KILL USR1 USR2 STOP CONT WINCH' -d 'The signal to send'
complete -c launch -n '__launch_verb stop' -l time -s t -r -d 'How long to wait before killing'
complete -c launch -n '__launch_verb stop' -l help -d 'Print this text'

complete -c launch -n '__launch_verb kill' -l signal -s s -r -a 'HUP INT QUIT TERM KILL USR1 USR2 STOP CONT WINCH' -d 'The signal to send'
complete -c launch -n '__launch_verb kill' -l help -d 'Print this text'

complete -c launch -n '__launch_verb wait' -l help -d 'Print this text'

complete -c launch -n '__launch_verb rm' -l force -s f -d 'Kill what still runs'
complete -c launch -n '__launch_verb rm' -l help -d 'Print this text'

complete -c launch -n '__launch_verb pause' -l help -d 'Print this text'

complete -c launch -n '__launch_verb unpause' -l help -d 'Print this text'

complete -c launch -n '__launch_verb whence' -l json -d 'Print JSON'
complete -c launch -n '__launch_verb whence' -l help -d 'Print this text'

complete -c launch -n '__launch_verb doctor' -l json -d 'Print JSON'
complete -c launch -n '__launch_verb doctor' -l help -d 'Print this text'
