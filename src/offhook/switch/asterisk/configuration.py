"""The configuration of the embedded Asterisk: which files it reads, and what stands in them.

SIP and, during calls, RTP listen on the address that the operator gave, ARI on loopback; nothing else does but PJSIP's
sockets for answers of DNS. Callers' own text (numbers, names) is never evaluated in the dialplan: it is kept in a
variable, and read over ARI.

Who may call without a password: programs on this very machine, as the endpoint `local`, and only while SIP listens on
loopback and over UDP alone. A web page in a browser on this machine is such a program as well, and it can send what it
likes over TCP: a POST of more than 64 KiB makes PJSIP drop the beginning and take what follows for SIP. It has no
way to send datagrams.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import msgspec

from offhook.switch.asterisk.ari import APPLICATION
from offhook.switch.asterisk.inputs import DIALLED, INCOMING, OWN_CONTEXT
from offhook.switch.asterisk.installation import music_folder

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
# Transfers: with their module any INVITE may take the place of a running call by Replaces, past every rule and whatever
# allow_transfer says. Without it Replaces means nothing, and an INVITE with it is a call like any other.
# A REFER within a call is then not answered at all (measured); a phone gives up after 32 s (RFC 3261, timer F).
# Device states: an event stream that follows them can hang Asterisk for good when it is cut (asterisk, issue 2170).
_UNWANTED = """
chan_iax2 chan_unistim chan_console chan_motif chan_audiosocket chan_sip chan_skinny chan_mgcp chan_oss chan_alsa
chan_phone chan_websocket res_pjsip_transport_websocket res_http_post res_snmp
res_hep res_hep_pjsip res_hep_rtcp pbx_dundi pbx_ael pbx_lua pbx_realtime pbx_spool
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
res_pjsip_refer
res_stasis_device_state res_ari_device_states
"""

# Asterisk asks for these and warns about each that is not there.
_EMPTY = """
acl agents aliases amd ccss cdr cel cli_aliases cli_permissions codecs confbridge dnsmgr dsp enum features followme
manager pjproject pjsip_notify pjsip_wizard res_parking say sorcery stasis udptl websocket_client
"""

# Asterisk makes no folder for recordings, and fails with 500 without it.
_FOLDERS = ("etc", "lib", "spool/recording", "log", "run", "cache", "keys/keys")

LOCAL_NETWORKS = ("127.0.0.0/8", "::1/128")
"""Who needs no authentication while SIP listens on loopback: programs on this very machine."""


class AsteriskPorts(msgspec.Struct, frozen=True):
    """Where one Asterisk listens for SIP, and on loopback for ARI."""

    sip_host: str
    sip_port: int
    ari_port: int

    @property
    def sip_is_local(self) -> bool:
        """Whether only this machine reaches SIP."""
        return ipaddress.ip_address(self.sip_host).is_loopback


class Rtp(msgspec.Struct, frozen=True):
    """The UDP ports for voice (two for each call), and after how long without any from a phone its call ends; 0: never.

    `timeout_on_hold` counts instead while the phone itself has put the call on hold.
    """

    first_port: int = 20_000
    last_port: int = 29_999
    timeout: timedelta = timedelta(seconds=60)
    timeout_on_hold: timedelta = timedelta(seconds=900)

    @property
    def call_count(self) -> int:
        """How many calls the ports are enough for."""
        return (self.last_port - self.first_port + 1) // 2


class Secrets(msgspec.Struct, frozen=True):
    """What opens ARI: a password, and the path below which it is, so that no web page can even find it."""

    password: str
    prefix: str

    def __repr__(self) -> str:
        return "Secrets()"


def files(folder: Path, root: Path, ports: AsteriskPorts, rtp: Rtp, secrets: Secrets) -> Mapping[str, str]:
    """Every configuration file, by name, for an Asterisk unpacked at `root` that keeps its own things in `folder`."""
    return {
        "asterisk.conf": _directories(folder, root),
        "modules.conf": "[modules]\nautoload=yes\n" + "".join(f"noload={name}.so\n" for name in _UNWANTED.split()),
        "http.conf": _http(ports, secrets),
        "ari.conf": (
            # How long, in milliseconds, an event stream may be blocked before Asterisk ends it; 100 if not said.
            f"[general]\nenabled=yes\nwebsocket_write_timeout=1000\nchannelvars={DIALLED}\n"
            f"[{USER}]\ntype=user\nread_only=no\npassword={secrets.password}\n"
        ),
        "pjsip.conf": _sip(ports, rtp),
        "rtp.conf": f"[general]\nrtpstart={rtp.first_port}\nrtpend={rtp.last_port}\nicesupport=no\n",
        "extensions.conf": _DIALPLAN,
        "logger.conf": "[general]\ndateformat=%FT%T%z\n[logfiles]\nmessages.log => notice,warning,error\n",
        "musiconhold.conf": _music(music_folder(root)),
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


def _http(ports: AsteriskPorts, secrets: Secrets) -> str:
    return (
        f"[general]\nenabled=yes\nbindaddr=127.0.0.1\nbindport={ports.ari_port}\nprefix={secrets.prefix}\n"
        "sessionlimit=1000\nenable_static=no\nenable_status=no\nservername=\n"
    )


def _music(folder: Path | None) -> str:
    # Without a class there is silence on hold, which is better than the spoken prompts one after another.
    return "" if folder is None else f"[default]\nmode=files\nsort=random\ndirectory={_escaped(folder)}\n"


def _sip(ports: AsteriskPorts, rtp: Rtp) -> str:
    address = f"[{ports.sip_host}]" if ":" in ports.sip_host else ports.sip_host
    protocols = ("udp",) if ports.sip_is_local else ("udp", "tcp")
    transports = "".join(
        f"[{protocol}]\ntype=transport\nprotocol={protocol}\nbind={address}:{ports.sip_port}\n"
        for protocol in protocols
    )
    # Trying From first lets users in wherever they are; `local` can be matched by its address only.
    return (
        "[global]\ntype=global\nuser_agent=Offhook\nendpoint_identifier_order=username,auth_username,ip\n"
        + transports
        + (_local(ports, rtp) if ports.sip_is_local else "")
    )


def _local(ports: AsteriskPorts, rtp: Rtp) -> str:
    # The identifies are tried in the order of their names, and this one matches more than any other.
    matches = "".join(f"match={network}\n" for network in LOCAL_NETWORKS)
    return f"""[local]
type=endpoint
identify_by=ip
media_address={ports.sip_host}
bind_rtp_to_media_address=yes
{_endpoint(rtp)}[zz-local]
type=identify
endpoint=local
{matches}"""


def _endpoint(rtp: Rtp) -> str:
    """What is the same for everybody who may call.

    A transfer by the phone would be a new call past every rule, a redirect a call to anywhere. `allow_transfer` is
    about REFER only; Replaces is understood by nobody, as its module is not there (`_UNWANTED`).
    Session timers find a phone that went away without a word (RFC 4028). RTP's time begins with the
    answer, so a phone that never sends any voice is ended as well (measured); while it rings nothing is.
    """
    return f"""context=offhook-incoming
disallow=all
allow=ulaw,alaw
allow_transfer=no
allow_subscribe=no
redirect_method=user
direct_media=no
rtp_symmetric=yes
force_rport=yes
rewrite_contact=yes
timers=always
timers_sess_expires=600
rtp_timeout={_whole_seconds(rtp.timeout)}
rtp_timeout_hold={_whole_seconds(rtp.timeout_on_hold)}
"""


def _whole_seconds(span: timedelta) -> int:
    # Rounded up: 0 would be no limit at all.
    return -(-span // timedelta(seconds=1))


def _escaped(path: Path) -> str:
    # A semicolon begins a comment.
    return str(path).replace(";", "\\;")
