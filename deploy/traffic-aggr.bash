# Made by `python -m devtools.completion` with shtab, from the program's own parser.
# Load it in ~/.bashrc: source /opt/traffic_aggr/deploy/traffic-aggr.bash

_shtab_traffic_aggr_subparsers=(run plan rollback cleanup recover check report alerts status history import-properties sample-data)

_shtab_traffic_aggr_run_option_strings=(-h --help --config --partitions --dates --month --from-step --dry-run --run-id --json --sql)
_shtab_traffic_aggr_plan_option_strings=(-h --help --config --partitions --dates --month --from-step --json --sql)
_shtab_traffic_aggr_rollback_option_strings=(-h --help --config --dry-run --yes --json)
_shtab_traffic_aggr_cleanup_option_strings=(-h --help --config --dry-run --yes --json)
_shtab_traffic_aggr_recover_option_strings=(-h --help --config --json)
_shtab_traffic_aggr_check_option_strings=(-h --help --config --warm --json)
_shtab_traffic_aggr_report_option_strings=(-h --help --config)
_shtab_traffic_aggr_alerts_option_strings=(-h --help --config --resend --discard --yes --json)
_shtab_traffic_aggr_status_option_strings=(-h --help --config --json --watch)
_shtab_traffic_aggr_history_option_strings=(-h --help --config --json --full -n --number)
_shtab_traffic_aggr_import_properties_option_strings=(-h --help --config -o --output)
_shtab_traffic_aggr_sample_data_option_strings=(-h --help --config --out --days --rows-per-day --seed --final-format)
_shtab_traffic_aggr_option_strings=(-h --help --version)

_shtab_traffic_aggr_run___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_run___partitions_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_plan___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_plan___partitions_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_rollback___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_cleanup___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_recover___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_check___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_report___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_alerts___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_status___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_history___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_import_properties_pos_0_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_import_properties___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_import_properties__o_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_import_properties___output_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_sample_data___config_COMPGEN=_shtab_compgen_files
_shtab_traffic_aggr_sample_data___out_COMPGEN=_shtab_compgen_dirs

_shtab_traffic_aggr_run___from_step_choices=(drop stage load)
_shtab_traffic_aggr_plan___from_step_choices=(drop stage load)
_shtab_traffic_aggr_sample_data___final_format_choices=(parquet text)
_shtab_traffic_aggr_pos_0_choices=(run plan rollback cleanup recover check report alerts status history import-properties sample-data)

_shtab_traffic_aggr_run__h_nargs=0
_shtab_traffic_aggr_run___help_nargs=0
_shtab_traffic_aggr_run___dry_run_nargs=0
_shtab_traffic_aggr_run___json_nargs=0
_shtab_traffic_aggr_run___sql_nargs=0
_shtab_traffic_aggr_plan__h_nargs=0
_shtab_traffic_aggr_plan___help_nargs=0
_shtab_traffic_aggr_plan___json_nargs=0
_shtab_traffic_aggr_plan___sql_nargs=0
_shtab_traffic_aggr_rollback__h_nargs=0
_shtab_traffic_aggr_rollback___help_nargs=0
_shtab_traffic_aggr_rollback___dry_run_nargs=0
_shtab_traffic_aggr_rollback___yes_nargs=0
_shtab_traffic_aggr_rollback___json_nargs=0
_shtab_traffic_aggr_cleanup__h_nargs=0
_shtab_traffic_aggr_cleanup___help_nargs=0
_shtab_traffic_aggr_cleanup___dry_run_nargs=0
_shtab_traffic_aggr_cleanup___yes_nargs=0
_shtab_traffic_aggr_cleanup___json_nargs=0
_shtab_traffic_aggr_recover__h_nargs=0
_shtab_traffic_aggr_recover___help_nargs=0
_shtab_traffic_aggr_recover___json_nargs=0
_shtab_traffic_aggr_check__h_nargs=0
_shtab_traffic_aggr_check___help_nargs=0
_shtab_traffic_aggr_check___warm_nargs=0
_shtab_traffic_aggr_check___json_nargs=0
_shtab_traffic_aggr_report__h_nargs=0
_shtab_traffic_aggr_report___help_nargs=0
_shtab_traffic_aggr_alerts__h_nargs=0
_shtab_traffic_aggr_alerts___help_nargs=0
_shtab_traffic_aggr_alerts___resend_nargs=0
_shtab_traffic_aggr_alerts___discard_nargs=0
_shtab_traffic_aggr_alerts___yes_nargs=0
_shtab_traffic_aggr_alerts___json_nargs=0
_shtab_traffic_aggr_status__h_nargs=0
_shtab_traffic_aggr_status___help_nargs=0
_shtab_traffic_aggr_status___json_nargs=0
_shtab_traffic_aggr_status___watch_nargs='?'
_shtab_traffic_aggr_history__h_nargs=0
_shtab_traffic_aggr_history___help_nargs=0
_shtab_traffic_aggr_history___json_nargs=0
_shtab_traffic_aggr_history___full_nargs=0
_shtab_traffic_aggr_import_properties__h_nargs=0
_shtab_traffic_aggr_import_properties___help_nargs=0
_shtab_traffic_aggr_sample_data__h_nargs=0
_shtab_traffic_aggr_sample_data___help_nargs=0
_shtab_traffic_aggr_pos_0_nargs=A...
_shtab_traffic_aggr__h_nargs=0
_shtab_traffic_aggr___help_nargs=0
_shtab_traffic_aggr___version_nargs=0


# $1=COMP_WORDS[1]
_shtab_compgen_files() {
  compgen -f -- $1  # files
}

# $1=COMP_WORDS[1]
_shtab_compgen_dirs() {
  compgen -d -- $1  # recurse into subdirs
}

# $1=COMP_WORDS[1]
_shtab_replace_nonword() {
  echo "${1//[^[:word:]]/_}"
}

# set default values (called for the initial parser & any subparsers)
_set_parser_defaults() {
  local subparsers_var="${prefix}_subparsers[@]"
  sub_parsers=${!subparsers_var-}

  local current_option_strings_var="${prefix}_option_strings[@]"
  current_option_strings=${!current_option_strings_var}

  completed_positional_actions=0

  _set_new_action "pos_$completed_positional_actions" true
}

# $1=action identifier
# $2=positional action (bool)
# set all identifiers for an action's parameters
_set_new_action() {
  current_action="${prefix}_$(_shtab_replace_nonword $1)"

  local current_action_compgen_var=${current_action}_COMPGEN
  current_action_compgen="${!current_action_compgen_var-}"

  local current_action_choices_var="${current_action}_choices[@]"
  current_action_choices="${!current_action_choices_var-}"

  local current_action_nargs_var="${current_action}_nargs"
  if [ -n "${!current_action_nargs_var-}" ]; then
    current_action_nargs="${!current_action_nargs_var}"
  else
    current_action_nargs=1
  fi

  current_action_args_start_index=$(( $word_index + 1 - $pos_only ))

  current_action_is_positional=$2
}

# Notes:
# `COMPREPLY`: what will be rendered after completion is triggered
# `completing_word`: currently typed word to generate completions for
# `${!var}`: evaluates the content of `var` and expand its content as a variable
#     hello="world"
#     x="hello"
#     ${!x} -> ${hello} -> "world"
_shtab_traffic_aggr() {
  local completing_word="${COMP_WORDS[COMP_CWORD]}"
  local previous_word="${COMP_WORDS[COMP_CWORD-1]}"
  local completed_positional_actions
  local current_action
  local current_action_args_start_index
  local current_action_choices
  local current_action_compgen
  local current_action_is_positional
  local current_action_nargs
  local current_option_strings
  local sub_parsers
  COMPREPLY=()

  local prefix=_shtab_traffic_aggr
  local word_index=0
  local pos_only=0 # "--" delimiter not encountered yet
  _set_parser_defaults
  word_index=1

  # determine what arguments are appropriate for the current state
  # of the arg parser
  while [ $word_index -ne $COMP_CWORD ]; do
    local this_word="${COMP_WORDS[$word_index]}"

    if [[ $pos_only = 1 || " $this_word " != " -- " ]]; then
      if [[ -n $sub_parsers && " ${sub_parsers[@]} " == *" $this_word "* ]]; then
        # valid subcommand: add it to the prefix & reset the current action
        prefix="${prefix}_$(_shtab_replace_nonword $this_word)"
        _set_parser_defaults
      fi

      if [[ " ${current_option_strings[@]} " == *" $this_word "* ]]; then
        # a new action should be acquired (due to recognised option string or
        # no more input expected from current action);
        # the next positional action can fill in here
        _set_new_action $this_word false
      fi

      if [[ "$current_action_nargs" != "*" ]] && \
         [[ "$current_action_nargs" != "+" ]] && \
         [[ "$current_action_nargs" != "?" ]] && \
         [[ "$current_action_nargs" != *"..." ]] && \
         (( $word_index + 1 - $current_action_args_start_index - $pos_only >= \
            $current_action_nargs )); then
        $current_action_is_positional && let "completed_positional_actions += 1"
        _set_new_action "pos_$completed_positional_actions" true
      fi
    else
      pos_only=1 # "--" delimiter encountered
    fi

    let "word_index+=1"
  done

  # Generate the completions

  COMPREPLY=()
  if [[ $pos_only = 0 && "$completing_word" == -* &&
        ( -z "$current_action_compgen" || "$current_action_is_positional" = true ) ]]; then
    # optional argument started: use option strings
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_option_strings[*]}" -- "$completing_word")
  elif [[ "$previous_word" =~ ^[0-9\&]*[\<\>]\>?$ ]]; then
    # handle redirection operators
    compopt -o filenames 2>/dev/null || : # bash>=4
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$completing_word")
  else
    # use choices & compgen
    local action_compgen_word="$completing_word"
    # handle tab-completing in the middle of a line (#248 <- #116)
    [[ -n "$current_action_compgen" && "$completing_word" == -* ]] && action_compgen_word=""
    [ -n "$current_action_compgen" ] && {
      [[ "$current_action_compgen" =~ _(file|dir|glob|FILE|DIR|GLOB)|File|Dir|Glob ]] &&
        compopt -o filenames 2>/dev/null || : # bash>=4
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
        "$current_action_compgen" "$action_compgen_word")
    }
    while IFS= read -r line; do COMPREPLY+=("$line"); done < <(
      compgen -W "${current_action_choices[*]}" -- "$completing_word")
  fi

  if [[ ${#COMPREPLY[@]} = 0 ]]; then
    # native fallback matches are not necessarily filenames (e.g. variables)
    compopt +o filenames 2>/dev/null || : # bash>=4
  fi

  return 0
}

complete -o bashdefault -F _shtab_traffic_aggr traffic-aggr spark-submit.sh
