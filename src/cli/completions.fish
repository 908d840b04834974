
# Names that only this host knows: secrets, running launchers, services, programs.
complete -c hushpipe -f -n "__fish_seen_subcommand_from secret; and __fish_seen_subcommand_from get show set rm edit history rollback mv cp" -a "(hushpipe secret list 2>/dev/null | awk 'NR > 1 { print \$1 }')"
complete -c hushpipe -f -n "__fish_seen_subcommand_from rotate rollback revoke" -s t -l target -x -a "(hushpipe ps 2>/dev/null | awk 'NR > 1 { print \$4 }')"
complete -c hushpipe -f -n "__fish_seen_subcommand_from status" -a "(hushpipe ps 2>/dev/null | awk 'NR > 1 { print \$4 }')"
complete -c hushpipe -f -n "__fish_seen_subcommand_from wrap unwrap" -a "(systemctl list-unit-files --type=service --no-legend 2>/dev/null | awk '{ print \$1 }')"
complete -c hushpipe -n "__fish_seen_subcommand_from run exec" -a "(__fish_complete_subcommand --fcs-skip=2)"
