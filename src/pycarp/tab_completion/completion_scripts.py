"""The scripts that bash, zsh and fish run at the Tab key; they ask ``pycarp`` itself."""

from pycarp.tab_completion.candidates import VARIABLE

_BASH = """\
_pycarp_completion() {
    local kind value help words
    local line=${COMP_LINE:0:COMP_POINT}
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    # bash completes what follows the last = : or @, and wants the rest of a name.
    local begun=${words[-1]}
    [[ $begun == --*=* ]] && begun=${begun#*=}
    local before=${begun%"$2"}
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value help; do
        case $kind in
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
            plain) COMPREPLY+=("${value#"$before"}") ;;
        esac
    done < <(@VARIABLE@=bash "$1" "${words[@]:1}" 2>/dev/null)
}
complete -o nosort -F _pycarp_completion pycarp
"""

_ZSH = """\
#compdef pycarp
_pycarp() {
    local kind value help
    local -a described asked
    asked=("${(@)words[2,CURRENT]}")
    [[ $PREFIX == --*=* ]] && compset -P '*='
    while IFS=$'\\t' read -r kind value help; do
        case $kind in
            file) _files ;;
            dir) _files -/ ;;
            plain) described+=("${value//:/\\\\:}${help:+:$help}") ;;
        esac
    done < <(@VARIABLE@=zsh ${words[1]} "${asked[@]}" 2>/dev/null)
    (( $#described )) && _describe -V pycarp described
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _pycarp "$@"
else
    compdef _pycarp pycarp
fi
"""

_FISH = """\
function __pycarp_completion
    set -l begun (commandline --current-token)
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l option (string match --regex '^--[^=]+=' -- $begun)
    set -l rest (string replace --regex '^--[^=]+=' '' -- $begun)
    for line in (@VARIABLE@=fish $words[1] $words[2..-1] "$begun" 2>/dev/null)
        set -l parts (string split \\t -- $line)
        switch $parts[1]
            case file
                for each in (__fish_complete_path "$rest")
                    echo "$option$each"
                end
            case dir
                for each in (__fish_complete_directories "$rest")
                    echo "$option$each"
                end
            case plain
                printf '%s\\t%s\\n' "$option$parts[2]" "$parts[3]"
        end
    end
end
complete --no-files --command pycarp --arguments '(__pycarp_completion)'
"""

SCRIPTS = {
    shell: text.replace("@VARIABLE@", VARIABLE) for shell, text in (("bash", _BASH), ("zsh", _ZSH), ("fish", _FISH))
}
"""By the name of the shell."""
