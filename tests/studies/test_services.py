from __future__ import annotations

import pytest

from tests.factories import MembershipFactory, StudyFactory, UserFactory
from waver.core.errors import BadInput, Conflict
from waver.core.models import AuditEntry
from waver.studies import services
from waver.studies.access import roles_in
from waver.studies.models import Study

pytestmark = pytest.mark.django_db


def create(**changes) -> Study:
    return services.create_study(
        **{"code": "s1", "title": "Study", "setting": "lab", "actor": "tests", **changes}
    )


def test_a_study_is_created_with_a_design_and_an_audit_entry():
    study = create(jurisdictions=["CA"], languages=["en", "fr"])
    assert study.design.raters_per_recording == 3
    assert AuditEntry.objects.get(verb="study.created").object_id == str(study.pk)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"code": "Two Words"}, "cannot be a study's code"),
        ({"title": " "}, "needs a title"),
        ({"setting": "moon"}, "no setting"),
        ({"exemption": "research_only"}, "nobody who reviewed"),
    ],
)
def test_a_study_that_cannot_be_is_refused_with_a_sentence(changes, says):
    with pytest.raises(BadInput, match=says):
        create(**changes)
    assert not Study.objects.exists()


def test_a_code_is_taken_once():
    create()
    with pytest.raises(Conflict, match="already"):
        create()


def test_prompts_follow_each_other_and_never_share_a_number():
    study = create()
    text = services.PromptText
    made = services.add_prompts(
        study=study, prompts=[text({"en": "One?"}), text({"en": "Two?"})], actor="tests"
    )
    assert [prompt.order for prompt in made] == [1, 2]
    services.add_prompts(study=study, prompts=[text({"en": "Three?"})], actor="tests")
    assert list(study.prompts.values_list("order", flat=True)) == [1, 2, 3]
    with pytest.raises(Conflict, match="prompt 2"):
        services.add_prompts(study=study, prompts=[text({"en": "?"}, order=2)], actor="tests")
    with pytest.raises(BadInput, match="needs its text"):
        services.add_prompts(study=study, prompts=[text({})], actor="tests")


def test_a_design_holds_shares_from_0_to_1():
    study = create()
    fields = {"raters_per_recording": 3, "passes": ["main"], "seed": 7, "actor": "tests"}
    assert services.set_design(study=study, prelabel_share=0.5, **fields).prelabel_share == 0.5
    with pytest.raises(BadInput, match="from 0 to 1"):
        services.set_design(study=study, prelabel_share=1.5, **fields)


def test_people_see_the_studies_they_belong_to_and_no_others():
    mine, other = StudyFactory(), StudyFactory()
    user = UserFactory()
    MembershipFactory(study=mine, user=user, role="annotator")
    services.add_member(study=mine, user=user, role="researcher", actor="tests")
    services.add_member(study=mine, user=user, role="researcher", actor="tests")

    assert list(Study.objects.visible_to(user)) == [mine]
    assert roles_in(user, mine) == {"annotator", "researcher"}
    assert roles_in(user, other) == frozenset()
    assert set(Study.objects.visible_to(UserFactory(is_superuser=True))) == {mine, other}

    user.is_active = False
    assert not Study.objects.visible_to(user).exists()
    assert roles_in(user, mine) == frozenset()
