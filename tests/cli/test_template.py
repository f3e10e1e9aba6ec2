"""The Go templates of --format and inspect -f."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.cli.template import TemplateError, parsed

CONTAINER: dict[str, Any] = {
    "Id": "abc",
    "Name": "/web",
    "State": {"Running": True, "ExitCode": 0},
    "Config": {"Labels": {"a": "b"}, "Cmd": ["sh", "-c"]},
    "NetworkSettings": {
        "IPAddress": "172.17.0.2",
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None},
        "Networks": {"web": {"IPAddress": "10.0.0.2"}, "bridge": {"IPAddress": "172.17.0.2"}},
    },
    "Label": {"a": "b"}.get,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Id}}", "abc"),
        ("{{ .State.Running }} {{.State.ExitCode}}", "true 0"),
        ("{{.NetworkSettings.IPAddress}}", "172.17.0.2"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", "172.17.0.2 10.0.0.2 "),
        (
            "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}};{{end}}",
            "bridge=172.17.0.2;web=10.0.0.2;",
        ),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{json .Config}}", '{"Labels":{"a":"b"},"Cmd":["sh","-c"]}'),
        ("{{.Config.Cmd}} {{.Config.Labels}}", "[sh -c] map[a:b]"),
        ('{{join .Config.Cmd "+"}}', "sh+-c"),
        ("{{.Config.Labels.none}}", "<no value>"),
        ('{{.Label "a"}}', "b"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if not .State.Running}}down{{else if .Id}}id{{else}}none{{end}}", "id"),
        ("{{with .State}}{{.ExitCode}}{{end}}", "0"),
        ("{{with .State.ExitCode}}x{{else}}zero{{end}}", "zero"),
        ("{{range .None}}x{{else}}empty{{end}}", "empty"),
        ('{{if and (eq .Name "/web") (gt (len .Config.Cmd) 1)}}yes{{end}}', "yes"),
        ('{{printf "%s|%5d|%-4s|%q" .Id 7 "x" "y"}}', 'abc|    7|x   |"y"'),
        ("{{upper .Id | printf `%s-%s` .Id}}", "abc-ABC"),
        ("a  {{- /* said nothing */ -}}  b", "ab"),
        ("a {{- .Id -}} b", "aabcb"),
        ('{{"}}"}}', "}}"),
        ("{{$x := .Id}}{{$x}}{{$.Name}}", "abc/web"),
        ("{{slice .Id 0 2}}", "ab"),
        ("{{1}} {{-2.5}} {{true}}", "1 -2.5 true"),
    ],
)
def test_what_people_write(template: str, text: str) -> None:
    """The forms found in scripts give what Go gives."""
    assert parsed(template).render({**CONTAINER, "None": []}) == text


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.Id", "unclosed action"),
        ("{{nosuch .Id}}", 'function "nosuch" not defined'),
        ("{{if .Id}}x", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{}}", "missing value for command"),
        ("{{(.Id}}", "unclosed left paren"),
        ("{{.Id )}}", 'unexpected ")"'),
        ("{{?}}", 'unexpected "?"'),
    ],
)
def test_what_cannot_be_read(template: str, why: str) -> None:
    """A broken template says what is wrong with it."""
    with pytest.raises(TemplateError, match="template parsing error") as caught:
        parsed(template)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{.Nope}}", ':1:2: executing "" at <.Nope>: map has no entry for key "Nope"'),
        ("{{.Name.x}}", "can't evaluate field x in type interface {}"),
        ("{{$nope}}", 'undefined variable "$nope"'),
        ("{{.Id 1}}", "can't give argument to non-function .Id"),
        ("{{range .Name}}{{end}}", "range can't iterate over /web"),
        ("{{index .Config.Cmd 5}}", "error calling index"),
    ],
)
def test_what_cannot_be_shown(template: str, why: str) -> None:
    """A template that does not fit the value says where."""
    with pytest.raises(TemplateError) as caught:
        parsed(template).render(CONTAINER)
    assert why in str(caught.value)


@given(st.text(alphabet='{}.|()"$ abIdrangeifwthls:=,-/*`0123456789\n', max_size=40))
def test_nothing_typed_breaks_it(template: str) -> None:
    """Any text is rendered or refused with a TemplateError, never another exception."""
    try:
        said = parsed(template).render(CONTAINER)
    except TemplateError as refusal:
        said = str(refusal)
    assert isinstance(said, str)


@given(st.text(alphabet=st.characters(exclude_characters="{}"), max_size=40))
def test_text_is_left_alone(text: str) -> None:
    """What is no action is printed as it stands."""
    assert parsed(text).render({}) == text
