"""SIPp scenarios of a caller, and of somebody who is called, put together from a few short pieces."""

from __future__ import annotations

from pathlib import Path

_HEAD = '<?xml version="1.0" encoding="UTF-8" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n<scenario name="{}">\n'
_SDP = """      v=0
      o=- 1 1 IN IP4 [local_ip]
      s=-
      c=IN IP4 [local_ip]
      t=0 0
      m=audio [rtp_port] RTP/AVP 0 101
      a=rtpmap:0 PCMU/8000
      a=ptime:20
      a=rtpmap:101 telephone-event/8000
      a=sendrecv
"""
_TO_TAG = "[peer_tag_param]"


def _request(
    method: str,
    cseq: int,
    *,
    body: str = "",
    to_tag: str = "",
    branch: str = "[branch]",
    headers: str = "",
    content_type: str = "application/sdp",
) -> str:
    retransmission = "" if method in ("ACK", "CANCEL") else ' retrans="500"'
    content = headers + (f"Content-Type: {content_type}\n      " if body else "")
    return f"""  <send{retransmission}>
    <![CDATA[
      {method} sip:[service]@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
      From: "[caller_name]" <sip:[caller]@[local_ip]:[local_port]>;tag=[pid]c[call_number]
      To: <sip:[service]@[remote_ip]:[remote_port]>{to_tag}
      Call-ID: [call_id]
      CSeq: {cseq} {method}
      Contact: <sip:[caller]@[local_ip]:[local_port]>
      Max-Forwards: 70
      {content}Content-Length: [len]

{body}    ]]>
  </send>
"""


def _receive(*codes: int, optional: bool = False) -> str:
    mark = ' optional="true"' if optional else ""
    return "".join(f'  <recv response="{code}"{mark} />\n' for code in codes)


def _response(status: str, *, to_tag: str = "") -> str:
    return f"""  <send>
    <![CDATA[
      SIP/2.0 {status}
      [last_Via:]
      [last_From:]
      [last_To:]{to_tag}
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:[local_ip]:[local_port]>
      Content-Length: 0

    ]]>
  </send>
"""


_OK = _response("200 OK")
_CALLEE = ";tag=[pid]s[call_number]"
_INVITE = _request("INVITE", 1, body=_SDP)
_ACK = _request("ACK", 1, to_tag=_TO_TAG)
_BYE = _request("BYE", 2, to_tag=_TO_TAG) + _receive(200)
_ANSWERED = _receive(100, 180, 183, optional=True) + _receive(200) + _ACK


def _reinvite(cseq: int, direction: str) -> str:
    return (
        _request("INVITE", cseq, to_tag=_TO_TAG, body=_SDP.replace("sendrecv", direction))
        + _receive(100, optional=True)
        + _receive(200)
        + _request("ACK", cseq, to_tag=_TO_TAG)
    )


def _refused_with(code: int) -> str:
    return _INVITE + _receive(100, 180, 183, optional=True) + _receive(code)


SCENARIOS = {
    # The caller hangs up after a pause (-d).
    "caller_hangs_up": _INVITE + _ANSWERED + "  <pause />\n" + _BYE,
    "waits_for_bye": _INVITE + _ANSWERED + '  <recv request="BYE" timeout="30000" />\n' + _OK,
    # A client that is refused acknowledges within the same transaction: the ACK carries the INVITE's branch.
    "cancels_while_ringing": _INVITE
    + _receive(100, optional=True)
    + _receive(180)
    + "  <pause />\n"
    + _request("CANCEL", 1, branch="[branch-4]")
    + _receive(200, 487)
    + _request("ACK", 1, to_tag=_TO_TAG, branch="[branch-7]"),
    # Nobody needs to ring.
    "gives_up_soon": _INVITE
    + _receive(100)
    + "  <pause />\n"
    + _request("CANCEL", 1, branch="[branch-3]")
    + _receive(200, 487)
    + _request("ACK", 1, to_tag=_TO_TAG, branch="[branch-6]"),
    **{
        f"refused_{code}": _refused_with(code) + _request("ACK", 1, to_tag=_TO_TAG, branch="[branch-5]")
        for code in (401, 403, 404, 486, 503, 603)
    },
    # Types a digit (-key digit) after a pause, and listens until the other side hangs up.
    "types_a_digit": _INVITE
    + _ANSWERED
    + "  <pause />\n"
    + _request(
        "INFO",
        2,
        to_tag=_TO_TAG,
        body="      Signal=[digit]\n      Duration=160\n",
        content_type="application/dtmf-relay",
    )
    + _receive(200)
    + '  <recv request="BYE" timeout="30000" />\n'
    + _OK,
    # Puts the call on hold (RFC 3264, 8.4), and vanishes.
    "falls_silent_on_hold": _INVITE + _ANSWERED + _reinvite(2, "sendonly"),
    # Puts the call on hold for a pause (-d), and takes it up again.
    "holds_for_a_while": _INVITE
    + _ANSWERED
    + _reinvite(2, "sendonly")
    + "  <pause />\n"
    + _reinvite(3, "sendrecv")
    + '  <recv request="BYE" timeout="30000" />\n'
    + _OK,
    "subscribes_in_vain": _request("SUBSCRIBE", 1, headers="Event: presence\n      Expires: 600\n      ")
    + _receive(603),
    # Somebody who is called, rings for a pause (-d) and is busy.
    "rings_and_is_busy": '  <recv request="INVITE" />\n'
    + _response("180 Ringing", to_tag=_CALLEE)
    + "  <pause />\n"
    + _response("486 Busy Here", to_tag=_CALLEE)
    + '  <recv request="ACK" />\n',
    # A caller that vanishes without a word.
    "falls_silent": _INVITE + _ANSWERED,
}


def write_scenario(name: str, folder: Path) -> Path:
    """The scenario's file."""
    path = folder / f"{name}.xml"
    path.write_text(_HEAD.format(name) + SCENARIOS[name] + "</scenario>\n", encoding="utf-8")
    return path
