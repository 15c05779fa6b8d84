"""The fields of note and tags: what others wrote meanwhile stays."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from explorer.store import open_study
from explorer.store.managing.changes import annotate_study, annotate_trial
from tests.dashboards.views.contents import texts


def fields(at: AppTest):
    """Return the fields of note and tags."""
    tags = next(field for field in at.text_input if field.label.startswith("Tags"))
    return at.text_area[0], tags


def save(at: AppTest) -> AppTest:
    """Save the fields."""
    return next(button for button in at.button if button.label == "Save").click().run()


def write(url: str, name: str, number: int | None, note: str, tag: str) -> None:
    """Change note and tags as the command line does."""
    opened = open_study(url, name)
    if number is None:
        annotate_study(opened, note=note, add_tags=[tag])
    else:
        annotate_trial(opened, number, note=note, add_tags=[tag])


@pytest.mark.parametrize(("view", "number"), [("runs", None), ("architecture", 3)])
def test_fields_that_were_not_changed_keep_what_others_wrote(view, number, page, url, study):
    """Saving a tag keeps the note and the tags that someone else wrote since the fields were loaded."""
    at = page(view)
    if number is not None:
        at.multiselect(key="compared").set_value([number]).run()
    write(url, study.name, number, "written in the shell", "theirs")
    at.run()
    assert "Changed elsewhere since the fields below were loaded: written in the shell [theirs]" in texts(at)
    fields(at)[1].set_value("mine")
    save(at)
    owner = open_study(url, study.name) if number is None else open_study(url, study.name).trial(number)
    assert (owner.note, owner.tags) == ("written in the shell", ("theirs", "mine"))
    assert [field.value for field in fields(at)] == ["written in the shell", "theirs, mine"]
    assert "Changed elsewhere" not in texts(at)


def test_two_changes_of_one_note_are_both_shown(page, url, study):
    """A note that someone else changed meanwhile is shown beside the user's, and is replaced only by another save."""
    at = page("runs")
    write(url, study.name, None, "theirs", "a")
    fields(at)[0].set_value("mine")
    save(at)
    assert "Not saved: the note was changed elsewhere meanwhile, to: theirs" in texts(at)
    assert open_study(url, study.name).note == "theirs" and fields(at)[0].value == "mine"
    save(at)
    assert (open_study(url, study.name).note, open_study(url, study.name).tags) == ("mine", ("a",))


def test_what_others_wrote_is_loaded_on_request(page, url, study):
    """A button puts the stored note and tags into the fields."""
    at = page("runs")
    write(url, study.name, None, "theirs", "a")
    at.run()
    next(button for button in at.button if button.label.startswith("Load")).click().run()
    assert [field.value for field in fields(at)] == ["theirs", "a"]
