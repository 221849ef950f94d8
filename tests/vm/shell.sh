# lvm2 as one process that takes commands. In a guest a process costs 50 ms and more: loops are to start none.

lvm2_shell() {
    mkfifo /run/lvm2.in /run/lvm2.out
    lvm </run/lvm2.in >/run/lvm2.out 2>&1 &
    exec {lvm2_in}>/run/lvm2.in {lvm2_out}</run/lvm2.out
}

# Leaves the lines that it says to a command, warnings and errors among them, in the array `said`.
lvm2_says() { # COMMAND
    local line
    said=()
    # The answer to a command that does not exist marks the end.
    printf '%s\nend\n' "$1" >&$lvm2_in
    while IFS= read -r -t 20 line <&$lvm2_out; do
        [[ $line != "  No such command 'end'."* ]] || return 0
        said+=("$line")
    done
    fail "lvm2 does not answer to: $1"
}

# The same for a command that must have this as the last line of its answer.
lvm2_ends_with() { # LINE COMMAND
    lvm2_says "$2"
    equal "what lvm2 says to $2" "$1" "${said[-1]}"
}
