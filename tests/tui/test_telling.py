"""What the screen says beside the conversation: passing remarks, banners, the age of figures, help where one is."""

from __future__ import annotations

import asyncio
import re

import pytest

from medgemma_tui import i18n, problems
from medgemma_tui.i18n import _
from medgemma_tui.protocol import Health, HealthRecord, PrivacyFacts, ProcessSeal, Telemetry
from medgemma_tui.tui import keymap, statements
from medgemma_tui.tui.help_text import help_text
from tests.tools import catalogues

LANGUAGES = ["en", "zh"]


class Service:
    """A service in one state that tells its figures once."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def health(self):
        return self._health

    async def model(self):
        return None

    async def telemetry(self):
        yield Telemetry(time=1.0, privacy=PrivacyFacts(gateway_inet_sockets=0, gateway=ProcessSeal(inet_sockets=0)))
        await asyncio.Event().wait()

    async def close(self):
        pass

    async def forget(self):
        pass

    async def health_record(self):
        return HealthRecord()

    async def note(self, event):
        pass

    async def parked(self):
        return None

    async def park(self, body):
        pass

    async def drop(self, id):
        return False

    async def leave(self):
        pass


def fixed(reason: str = "loading", **more):
    return lambda _socket: Service(Health(status="not_ready", reason=reason, **more))


async def test_one_remark_at_a_time_in_a_line_of_its_own(screen, tmp_path):
    async with screen(tmp_path / "x.sock", size=(80, 24), connector=fixed()) as it:
        await it.press("f7", "f7", "f7")
        assert "Reasoning: the model decides." in it.text()
        assert "is made to reason" not in it.text()
        assert "Answers without it" not in it.text()
        region = it.chat.remark.region
        others = (it.chat.welcome, it.chat.suggestions, it.chat.banner, it.chat.composer, it.chat.gpu_line)
        assert region.area
        assert not any(region.overlaps(other.region) for other in others if other.display)


async def test_a_remark_goes_with_the_language_and_with_a_window(screen, tmp_path):
    async with screen(tmp_path / "x.sock", connector=fixed()) as it:
        for key in ("f9", "f1", "ctrl+p", "f4"):
            await it.press("f7")
            assert it.chat.remark.display
            await it.press(key)
            assert not it.chat.remark.display, key
            await it.press("escape")
        assert not it.app._notifications


async def test_a_remark_goes_by_itself(screen, tmp_path, monkeypatch):
    from medgemma_tui.tui.widgets import remark

    monkeypatch.setattr(remark, "SHOWN_S", 0.05)
    async with screen(tmp_path / "x.sock", connector=fixed()) as it:
        await it.press("f7")
        await it.until(lambda: not it.chat.remark.display)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(("reason", "percent"), [("starting", None), ("loading", None), ("loading", 43)])
async def test_while_the_model_comes_nobody_is_told_to_ask_again(screen, tmp_path, lang, reason, percent):
    """A question that is sent meanwhile waits by itself."""
    async with screen(tmp_path / "x.sock", lang=lang, connector=fixed(reason, percent=percent)) as it:
        await it.until(lambda: it.app.state.health is not None)
        await it.until(lambda: it.chat.banner.display)
        said = problems.health_sentence(it.app.state.health)
        assert said in it.text()
        assert not any(word in said for word in ("ask again", "lost", "再问", "再提", "丢失"))
        assert ("43 %" in said) == (percent is not None)
        assert "0 %" not in said


async def test_a_gateway_that_says_nothing_more_is_not_taken_for_its_last_words(screen, tmp_path):
    async with screen(tmp_path / "x.sock", size=(230, 36), connector=fixed()) as it:
        await it.until(lambda: "local-only" in it.text())
        it.app._heard_at -= 2 * statements.STALE_AFTER_S
        await it.until(lambda: "last counted" in it.text())
        assert "local-only" not in it.text()
        await it.press("f3", "s")
        await it.until(lambda: "Old figures" in it.text())


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("f4",), "You are in the patient card"),
        (("ctrl+p",), "You are in the list of commands"),
        (("x", "f5"), "You are asked before something is lost"),
    ],
)
async def test_f1_explains_the_window_one_is_in(screen, tmp_path, keys, words):
    async with screen(tmp_path / "x.sock", connector=fixed()) as it:
        await it.press(*keys)
        window = it.app.screen
        assert window is not it.chat
        await it.press("f1")
        assert words in it.text()
        await it.press("escape")
        assert it.app.screen is window


async def test_f1_explains_the_raw_text(screen, tmp_path):
    from medgemma_tui.tui.screens.dialogs import RawText

    async with screen(tmp_path / "x.sock", connector=fixed()) as it:
        await it.app.push_screen(RawText("150–300 mg"))
        await it.press("f1")
        assert "You are in the raw text" in it.text()


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_command_is_explained_by_its_own_name(lang):
    i18n.set_language(lang)
    for command in keymap.COMMANDS:
        doubled = _(command.label) + ("" if lang == "zh" else ":")
        assert not _(command.help).startswith(doubled), command.id
    assert ("病历卡：随" in help_text("composer", {})) == (lang == "zh")


def test_chinese_words_are_followed_by_chinese_punctuation():
    half = re.compile(r"[\u4e00-\u9fff）][:,;?!]")
    for message in catalogues.read("zh_CN"):
        texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
        assert not any(half.search(text) for text in texts), message.id
    i18n.set_language("zh")
    assert not half.search(help_text("composer", {}))


async def test_the_ascii_profile_says_everything_in_ascii(screen, tmp_path):
    async with screen(tmp_path / "x.sock", size=(100, 60), term="vt100", connector=fixed()) as it:
        for keys in (("f1",), ("ctrl+p",), ("f3",), ("f4",), ("f5",), ("f7",)):
            await it.press(*keys)
            await it.pilot.pause(0.1)
            assert it.text().isascii(), (keys, set(re.findall(r"[^\x00-\x7f]", it.text())))
            await it.press("escape")
