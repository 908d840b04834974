
# Names that only this host knows: secrets, running launchers, services, programs.
_hushpipe_names() {
    local cur=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words
    local before=" ${COMP_WORDS[*]:1:COMP_CWORD-1} "
    if [[ $cur != -* ]]; then
        case $before in
            *" secret get "|*" secret show "|*" secret set "|*" secret rm "|*" secret edit "|*" show "|\
            *" secret history "|*" secret rollback "|*" secret mv "|*" secret cp ")
                words=$(hushpipe secret list 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
            *" -t "|*" --target "|*" status ")
                words=$(hushpipe ps 2>/dev/null | awk 'NR > 1 { print $4 }') ;;
            *" systemd wrap "|*" systemd unwrap ")
                words=$(systemctl list-unit-files --type=service --no-legend 2>/dev/null | awk '{ print $1 }') ;;
            *" run -- "|*" exec -- "|*" run "|*" exec "|*" check -- ")
                words=$(compgen -c -- "$cur" | sort -u) ;;
        esac
        if [[ -n $words ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
            return
        fi
    fi
    _hushpipe "$1" "$cur" "$previous"
}
complete -F _hushpipe_names -o bashdefault -o default hushpipe
