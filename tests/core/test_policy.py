"""What a configuration asks for, as values."""

from watcher.core.policy import Identify, Project, Projects, Rule, Template


def test_identify_tags():
    """Every tag a rule or template reads is asked of the readers, each once."""
    rules = Identify(
        project=(Rule(0x00081030, ".*"),),
        subject=(Template("{PatientID}", {"PatientID": 0x00100020}),),
        session=(
            Template("{PatientID}_{StudyDate}", {"PatientID": 0x00100020, "StudyDate": 0x00080020}),
        ),
    )
    assert {0x00081030, 0x00100020, 0x00080020} == rules.tags


def test_no_rules():
    """Without rules no tag is asked for."""
    assert frozenset() == Identify().tags


def test_find_project():
    """A project is found by its id or an alias, whatever the case; another name finds none."""
    known = {each.id: each for each in (Project("PROJ1", aliases=("Alt",)), Project("PROJ2"))}
    projects = Projects(known)
    found = [projects.find(name) for name in ("proj1", "ALT", "PROJ2", "PROJ", "")]
    assert [known["PROJ1"], known["PROJ1"], known["PROJ2"], None, None] == found
