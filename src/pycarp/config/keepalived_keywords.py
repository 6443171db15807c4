"""The keywords of keepalived.conf that have no equal in pycarp, and what to do instead. Source: keepalived.conf(5)."""

from collections.abc import Mapping

_METRICS = "pycarp speaks neither SNMP nor D-Bus; [http] serves metrics and events"
_LVS = "pycarp balances no load; keepalived --check goes on doing that alone, beside pycarp"
_MAIL = 'pycarp sends no mail; a hook can: shell = "echo $PYCARP_HOST $PYCARP_EVENT | mail -s failover root"'
_OWN = "the addresses and routes of the machine itself belong into its network configuration"
_ANNOUNCES = "pycarp announces its addresses by itself; announce_every_s is how often a MASTER repeats that"
_FIFO = "pycarp events --follow --json writes every change to a pipe"
_USER = "hooks and checks run as the daemon's own user"
_PROTOCOL = "it is about VRRP's own packets, and CARP has none of it"
_PROCESS = "the unit of systemd decides how the process runs"
_ROUTES = "pycarp moves addresses only; a hook on master and one on lost can run ip route and ip rule"
_LOG = "pycarp has its own log: pycarp run --verbose, pycarp events"
_LINK = "pycarp follows the state of links in the kernel"
_FILE = "a check with exec can look into the file"
_BFD = "a check with ping can watch the neighbour"
_SCORE = "pycarp weighs no groups; give each host its checks"


def _table(lines: Mapping[str, str]) -> dict[str, str]:
    return {keyword: why for why, keywords in lines.items() for keyword in keywords.split()}


TOP = _table({
    _LVS: "virtual_server virtual_server_group SSL lvs_sync_daemon lvs_flush",
    _OWN: "static_ipaddress static_routes static_rules",
    _ANNOUNCES: "garp_group",
    _BFD: "bfd_instance",
    _FILE: "vrrp_track_file track_file",
    _LINK: "linkbeat_interfaces linkbeat_use_polling interface_up_down_delays",
    _PROCESS: "net_namespace net_namespace_ipvs namespace_with_ipsets instance use_pid_dir nftables daemon",
    _SCORE: "track_group static_track_group",
    _LOG: "dump_keywords",
})  # fmt: skip
"""Outside of every block."""

GLOBAL = _table({
    _MAIL: "notification_email notification_email_from smtp_server smtp_connect_timeout smtp_helo_name smtp_alert "
           "smtp_alert_vrrp smtp_alert_checker email_faults no_email_faults no_checker_emails",
    "pycarp status calls the machine by its host name; [node] hostname is another one": "router_id lvs_id",
    _PROTOCOL: "vrrp_strict vrrp_version vrrp_skip_check_adv_addr vrrp_higher_prio_send_advert vrrp_mcast_group6 "
               "vrrp_lower_prio_no_advert vrrp_owner_ignore_adverts vrrp_iptables vrrp_nftables vrrp_nftables_ifindex "
               "vrrp_ipsets nftables nftables_priority nftables_counters nftables_ifindex vrrp_check_unicast_src "
               "vrrp_rx_bufs_policy vrrp_rx_bufs_multiplier disable_local_igmp v3_checksum_as_v2",
    _ANNOUNCES: "vrrp_garp_master_delay vrrp_garp_master_repeat vrrp_garp_master_refresh_repeat "
                "vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat vrrp_garp_interval vrrp_gna_interval "
                "vrrp_garp_extra_if vrrp_min_garp",
    _FIFO: "notify_fifo notify_fifo_script vrrp_notify_fifo vrrp_notify_fifo_script lvs_notify_fifo "
           "lvs_notify_fifo_script fifo_write_vrrp_states_on_reload vrrp_notify_priority_changes",
    _USER: "script_user enable_script_security script_security set_supplementary_groups",
    _PROCESS: "vrrp_priority vrrp_no_swap vrrp_rt_priority vrrp_rlimit_rttime vrrp_rlimit_rtime vrrp_cpu_affinity "
              "checker_priority checker_no_swap checker_rt_priority checker_rlimit_rttime checker_cpu_affinity "
              "bfd_priority bfd_no_swap bfd_rt_priority bfd_rlimit_rttime bfd_cpu_affinity max_auto_priority "
              "min_auto_priority_delay umask process_names process_name vrrp_process_name checker_process_name "
              "instance net_namespace shutdown_script startup_script startup_script_timeout shutdown_script_timeout "
              "child_wait_time reload_check_config reload_file reload_time_file reload_repeat reload_date_specific "
              "tmp_config_directory config_save_dir use_symlink_paths include_check random_seed bfd_process_name "
              "iproute_usr_dir iproute_etc_dir vrrp_delay_after_boot",
    _LVS: "lvs_sync_daemon lvs_timeouts lvs_flush lvs_flush_on_stop lvs_flush_onstop checker_log_all_failures "
          "rs_init_notifies nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark lvs_netlink_cmd_rcv_bufs "
          "lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs lvs_netlink_monitor_rcv_bufs_force",
    _LINK: "dynamic_interfaces allow_if_changes linkbeat_interfaces linkbeat_use_polling vrrp_netlink_cmd_rcv_bufs "
           "vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs vrrp_netlink_monitor_rcv_bufs_force "
           "process_monitor_rcv_bufs process_monitor_rcv_bufs_force snmp_vmac",
    _METRICS: "snmp_socket enable_traps enable_snmp_keepalived enable_snmp_vrrp enable_snmp_rfc enable_snmp_rfcv2 "
              "enable_snmp_rfcv3 enable_snmp_checker enable_dbus dbus_service_name dbus_no_interface_name json_version "
              "snmp_vs_stats_update_interval snmp_rs_stats_update_interval",
    "pycarp names its devices itself": "vmac_prefix vmac_addr_prefix disable_vmac",
    _OWN: "keep_fault_addresses restore_iptables",
    _LOG: "log_unknown_vrids state_dump_file data_use_instance state_file_location stats_file_location "
          "json_file_location",
})  # fmt: skip
"""In ``global_defs``."""

INSTANCE = _table({
    _ANNOUNCES: "garp_master_delay garp_master_repeat garp_master_refresh_repeat garp_lower_prio_delay "
                "garp_lower_prio_repeat garp_extra_if",
    _MAIL: "smtp_alert",
    _FIFO: "notify_priority_changes notify_deleted",
    _ROUTES: "virtual_routes virtual_rules",
    _LVS: "lvs_sync_daemon_interface lvs_sync_daemon_inteface",
    _FILE: "track_file",
    _BFD: "track_bfd",
    _SCORE: "track_group",
    _PROTOCOL: "version native_ipv6 strict_mode skip_check_adv_addr lower_prio_no_advert higher_prio_send_advert "
               "check_unicast_src owner_ignore_adverts timer_expired_backup unicast_ttl unicast_fault_no_peer "
               "old_unicast_checksum v3_checksum_as_v2 no_virtual_ipaddress",
    _LINK: "linkbeat_use_polling track_src_ip",
    "an address that pycarp holds takes packets for itself": "accept no_accept",
    "pycarp makes the device of the virtual MAC address as it needs it": "vmac_xmit_base use_ipvlan use_vmac_addr",
    "pycarp adds the addresses of this vhid in its own order": "evip promote_secondaries",
    _PROCESS: "kernel_rx_buf_size",
    _LOG: "debug log_unknown_vrids",
    "CARP signs every packet with the password; a time or a counter against replays is part of it": "auth_hmac",
    "pycarp runs in the interface's own routing table": "vrf",
})  # fmt: skip
"""In ``vrrp_instance``; also what only older versions of keepalived know."""

GROUP = _table({
    _MAIL: "smtp_alert",
    _FIFO: "notify_priority_changes",
    _FILE: "track_file",
    _BFD: "track_bfd",
    "a check of one host moves the whole group in pycarp": "global_tracking sync_group_tracking_weight",
})  # fmt: skip
"""In ``vrrp_sync_group``."""

SCRIPT = {
    "user": _USER,
    "init_fail": "every check of pycarp counts as failing until it has passed",
}
"""In ``vrrp_script``."""

PROCESS = {
    "quorum": "the check passes while one process lives",
    "quorum_max": "the check passes while one process lives",
    "delay": "rise and fall of the check are the number of looks in a row",
    "terminate_delay": "rise and fall of the check are the number of looks in a row",
    "fork_delay": "rise and fall of the check are the number of looks in a row",
    "full_command": 'the check looks at the name of the program only; exec = ["pgrep", "-f", ...] looks at all',
    "param_match": 'the check looks at the name of the program only; exec = ["pgrep", "-f", ...] looks at all',
}
"""In ``vrrp_track_process``."""

WITHOUT_VALUE = frozenset(
    {"home", "mngtmpaddr", "nodad", "-nodad", "noprefixroute", "autojoin", "no_track", "use_vmac"}
)
"""Options of an address that pycarp does not set, and that have no value."""

ADDRESS_OPTIONS = WITHOUT_VALUE | {
    "brd", "broadcast", "peer", "scope", "label", "preferred_lft", "valid_lft", "track_group", "weight",
}  # fmt: skip
"""Those with a value as well."""
