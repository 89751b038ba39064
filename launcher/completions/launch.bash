# Completion of launch for bash. To be sourced, or put into /usr/share/bash-completion/completions under the name launch.

# Names and short ids of containers; $1 is -a for those that have ended, too.
_launch_containers() {
  launch ps "$@" --json 2>/dev/null | sed -n 's/^    "id": "\(.\{12\}\).*/\1/p; s/^    "name": "\(..*\)",$/\1/p'
}

# Sets the variables $flags and $with_value for the verb $1.
_launch_flags() {
  case "$1" in
    run)
      flags="--image --env -e --env-file --entrypoint --workdir -w --user -u --hostname -h --network --publish -p --add-host --dns --detach -d --interactive -i --tty -t --detach-keys --init --rm --name --cidfile --pidfile --stop-signal --stop-timeout --restart --log-max-size --volume -v --mount --device --tmpfs --shm-size --read-only --ulimit --userns --fake_ids --cap-add --cap-drop --security-opt --memory -m --memory-swap --memory-reservation --pids-limit --cpus --cpu-shares --cpuset-cpus --cpuset-mems --blkio-weight --best-effort --profile --explain --help --version"
      with_value="--image --env -e --env-file --entrypoint --workdir -w --user -u --hostname -h --network --publish -p --add-host --dns --detach-keys --name --cidfile --pidfile --stop-signal --stop-timeout --restart --log-max-size --volume -v --mount --device --tmpfs --shm-size --ulimit --userns --cap-add --cap-drop --security-opt --memory -m --memory-swap --memory-reservation --pids-limit --cpus --cpu-shares --cpuset-cpus --cpuset-mems --blkio-weight"
      ;;
    start)
      flags="--interactive -i --detach-keys --attach -a --help"
      with_value="--detach-keys"
      ;;
    exec)
      flags="--env -e --env-file --workdir -w --user -u --detach -d --interactive -i --tty -t --detach-keys --help"
      with_value="--env -e --env-file --workdir -w --user -u --detach-keys"
      ;;
    attach)
      flags="--detach-keys --no-stdin --sig-proxy --help"
      with_value="--detach-keys"
      ;;
    logs)
      flags="--follow -f --timestamps -t --tail -n --help"
      with_value="--tail -n"
      ;;
    ps)
      flags="--all -a --quiet -q --no-trunc --json --help"
      with_value=""
      ;;
    inspect)
      flags="--json --help"
      with_value=""
      ;;
    stop)
      flags="--signal -s --time -t --help"
      with_value="--signal -s --time -t"
      ;;
    kill)
      flags="--signal -s --help"
      with_value="--signal -s"
      ;;
    wait)
      flags="--help"
      with_value=""
      ;;
    rm)
      flags="--force -f --help"
      with_value=""
      ;;
    pause)
      flags="--help"
      with_value=""
      ;;
    unpause)
      flags="--help"
      with_value=""
      ;;
    whence)
      flags="--json --help"
      with_value=""
      ;;
    doctor)
      flags="--json --help"
      with_value=""
      ;;
  esac
}

# Offers the words $1 that begin with $cur. (compgen -W would expand what they hold.)
_launch_offer() {
  local word
  COMPREPLY=()
  for word in $1; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
}

_launch() {
  local cur="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD - 1]}"
  local verbs="run start exec attach logs ps inspect stop kill wait rm pause unpause whence doctor"
  local verb=run first=1 flags with_value
  if [[ $COMP_CWORD -gt 1 && " $verbs " == *" ${COMP_WORDS[1]} "* ]]; then
    verb="${COMP_WORDS[1]}"
    first=2
  elif [[ $COMP_CWORD -eq 1 && $cur != -* ]]; then
    _launch_offer "$verbs"
    return
  fi
  _launch_flags "$verb"

  # The words that are no flags and no values of flags, up to the present one.
  local index=$first words=0
  while [[ $index -lt $COMP_CWORD ]]; do
    local word="${COMP_WORDS[index]}"
    if [[ $words -eq 0 && $word == -?* && $word != -- ]]; then
      [[ " $with_value " == *" $word "* ]] && ((index++))
    else
      ((words++))
    fi
    ((index++))
  done

  if [[ $words -eq 0 && " $with_value " == *" $previous "* && $COMP_CWORD -gt $first ]]; then
    case "$previous" in
      --image) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
      --cidfile | --pidfile | --env-file | --volume | -v | --device) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
      --signal | --stop-signal | -s) _launch_offer "HUP INT QUIT TERM KILL USR1 USR2 STOP CONT WINCH" ;;
      --userns) _launch_offer "private keep-id auto host" ;;
      --network) _launch_offer "none bridge host pasta slirp4netns" ;;
      *) COMPREPLY=() ;;
    esac
  elif [[ $words -eq 0 && $cur == -* ]]; then
    _launch_offer "$flags"
  else
    case "$verb" in
      run | ps | doctor) COMPREPLY=() ;;
      exec | attach | whence) if [[ $words -eq 0 ]]; then _launch_offer "$(_launch_containers)"; else COMPREPLY=(); fi ;;
      stop | kill | pause | unpause) _launch_offer "$(_launch_containers)" ;;
      *) _launch_offer "$(_launch_containers -a)" ;;
    esac
  fi
}

complete -F _launch launch
