"""The configuration of the embedded Asterisk: which files it reads, and what stands in them.

Everything listens on the address that the operator gave for SIP, and on loopback for ARI; nothing else listens.
Callers' own text (numbers, names) is never evaluated in the dialplan: it is kept in a variable, and read over ARI.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import msgspec

from offhook.switch.asterisk.ari import APPLICATION
from offhook.switch.asterisk.mapping import DIALLED, INCOMING, OWN_CONTEXT

USER = "offhook"

_TONES = """[general]
country=us
[us]
description=United States
ringcadence=2000,4000
dial=350+440
busy=480+620/500,0/500
ring=440+480/2000,0/4000
congestion=480+620/250,0/250
"""

# Everything that would listen somewhere else, wants hardware or a database, or is of no use to us, stays out.
# Text messages: without their module a SIP MESSAGE is refused, instead of becoming a call.
_UNWANTED = """
chan_iax2 chan_unistim chan_console chan_motif chan_audiosocket chan_sip chan_skinny chan_mgcp chan_oss chan_alsa
chan_phone chan_websocket res_snmp res_hep res_hep_pjsip res_hep_rtcp pbx_dundi pbx_ael pbx_lua pbx_realtime pbx_spool
app_jack app_voicemail app_voicemail_odbc app_minivm app_festival app_adsiprog app_alarmreceiver app_dictate app_sms
app_externalivr app_meetme app_osplookup app_queue app_agent_pool app_system app_getcpeid res_adsi res_ael_share
res_calendar res_calendar_caldav res_calendar_ews res_calendar_exchange res_calendar_icalendar res_config_curl
res_config_ldap res_config_odbc res_config_pgsql res_config_sqlite3 res_odbc res_odbc_transaction func_odbc func_shell
func_curl cdr_adaptive_odbc cdr_odbc cdr_pgsql cdr_radius cdr_tds cdr_sqlite3_custom cdr_csv cdr_custom cdr_manager
cel_manager cel_odbc cel_pgsql cel_radius cel_tds cel_sqlite3_custom cel_custom res_xmpp res_smdi res_phoneprov
res_monitor res_pjsip_phoneprov_provider res_pjsip_messaging res_resolver_unbound res_stun_monitor res_statsd
res_prometheus res_fax res_fax_spandsp res_stir_shaken res_pjsip_stir_shaken res_geolocation res_pjsip_geolocation
res_parking res_cdrel_custom res_aeap res_speech_aeap res_http_media_cache codec_opus_open_source
format_ogg_opus_open_source
"""

# Asterisk asks for these and warns about each that is not there.
_EMPTY = """
acl agents aliases amd ccss cdr cel cli_aliases cli_permissions codecs confbridge dnsmgr dsp enum features followme
manager pjproject pjsip_notify pjsip_wizard res_parking say sorcery stasis udptl websocket_client
"""

_FOLDERS = ("etc", "lib", "spool", "log", "run", "cache", "keys/keys")


class AsteriskPorts(msgspec.Struct, frozen=True):
    """Where one Asterisk listens: SIP (UDP and TCP), ARI on loopback, and the range for RTP."""

    sip_host: str
    sip_port: int
    ari_port: int
    first_rtp_port: int = 20_000
    last_rtp_port: int = 29_999


def files(folder: Path, root: Path, ports: AsteriskPorts, password: str) -> Mapping[str, str]:
    """Every configuration file, by name, for an Asterisk unpacked at `root` that keeps its own things in `folder`."""
    return {
        "asterisk.conf": _directories(folder, root),
        "modules.conf": "[modules]\nautoload=yes\n" + "".join(f"noload={name}.so\n" for name in _UNWANTED.split()),
        "http.conf": f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport={ports.ari_port}\nsessionlimit=1000\n",
        "ari.conf": (
            f"[general]\nenabled=yes\nchannelvars={DIALLED}\n[{USER}]\ntype=user\nread_only=no\npassword={password}\n"
        ),
        "pjsip.conf": _sip(ports),
        "rtp.conf": f"[general]\nrtpstart={ports.first_rtp_port}\nrtpend={ports.last_rtp_port}\nicesupport=no\n",
        "extensions.conf": _DIALPLAN,
        "logger.conf": "[general]\ndateformat=%FT%T%z\n[logfiles]\nmessages.log => notice,warning,error\n",
        "musiconhold.conf": f"[default]\nmode=files\ndirectory={_escaped(root / 'usr/share/asterisk/sounds/en')}\n",
        "indications.conf": _TONES,
        **{f"{name}.conf": "" for name in _EMPTY.split()},
    }


def make_folders(folder: Path) -> None:
    """The folders that the configuration names, for their owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _FOLDERS:
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)


# `_.` takes any user part, also those with a meaning of their own (h, i, s, t): that is why the call goes on in
# a context that has none of these. 34 is Q.850's congestion, which PJSIP sends as 503: the application is not there.
_DIALPLAN = f"""[general]
static=yes
writeprotect=yes
[offhook-incoming]
exten => _.,1,Set({DIALLED}=${{EXTEN}})
 same => n,Goto({OWN_CONTEXT},s,1)
[{OWN_CONTEXT}]
exten => s,1,Stasis({APPLICATION},{INCOMING})
 same => n,Hangup(34)
[offhook-echo]
exten => s,1,Answer()
 same => n,Echo()
 same => n,Hangup()
"""


def _directories(folder: Path, root: Path) -> str:
    modules = next((path for path in root.glob("usr/lib/*/asterisk/modules")), root / "usr/lib/asterisk/modules")
    places = {
        "astetcdir": folder / "etc",
        "astmoddir": modules,
        "astvarlibdir": root / "usr/share/asterisk",
        "astdbdir": folder / "lib",
        "astkeydir": folder / "keys",
        "astdatadir": root / "usr/share/asterisk",
        "astagidir": folder / "lib",
        "astspooldir": folder / "spool",
        "astrundir": folder / "run",
        "astlogdir": folder / "log",
        "astcachedir": folder / "cache",
    }
    lines = "".join(f"{name} => {_escaped(path)}\n" for name, path in places.items())
    # Without an entity id of our own Asterisk takes a MAC address of the machine, and puts it into every event.
    options = "nocolor = yes\nhideconnect = yes\nentityid = 02:00:00:00:00:01\n"
    return f"[directories]\n{lines}[options]\n{options}"


def _sip(ports: AsteriskPorts) -> str:
    address = f"[{ports.sip_host}]" if ":" in ports.sip_host else ports.sip_host
    transports = "".join(
        f"[{protocol}]\ntype=transport\nprotocol={protocol}\nbind={address}:{ports.sip_port}\n"
        for protocol in ("udp", "tcp")
    )
    local = "".join(f"match={network}\n" for network in _local_networks(ports.sip_host))
    # Session timers find a phone that went away without a word (RFC 4028), so that no call stays open for ever.
    return f"""[global]
type=global
user_agent=Offhook
endpoint_identifier_order=ip
{transports}[local]
type=endpoint
context=offhook-incoming
disallow=all
allow=ulaw,alaw
direct_media=no
rtp_symmetric=yes
rewrite_contact=yes
timers=always
timers_sess_expires=600
[local]
type=identify
endpoint=local
{local}"""


def _local_networks(host: str) -> list[str]:
    """Who needs no authentication: programs on this very machine."""
    networks = ["127.0.0.0/8", "::1/128"]
    address = ipaddress.ip_address(host)
    if not address.is_loopback and not address.is_unspecified:
        networks.append(str(address))
    return networks


def _escaped(path: Path) -> str:
    # A semicolon begins a comment.
    return str(path).replace(";", "\\;")
