"""Spanish replies: what is a symptom, what only looks like one, and what must never change the reading.

The sentences were written for this project; no patient wrote them and no clinician has reviewed them.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from messages.triage import assess, read_rules
from messages.triage.sounds import sound, sounding
from messages.urgency import Urgency

NONE, ROUTINE, URGENT, EMERGENCY = Urgency.NONE, Urgency.ROUTINE, Urgency.URGENT, Urgency.EMERGENCY
CORPUS = Path(__file__).parent / "bank" / "corpus"


def status_of(text: str, concept: str, asked: str | None = None) -> str | None:
    """The status of the first finding of ``concept``, or None when there is none."""
    reading = read_rules(text, asked, "es")
    return next((one.status for one in (*reading.findings, *reading.unsure) if one.concept == concept), None)


@pytest.mark.parametrize(
    ("text", "urgency"),
    [
        ("se me duerme la pierna derecha", URGENT),
        ("ya no siento el pie", URGENT),
        ("traigo la mano como de trapo y no la siento", URGENT),
        ("pisé el piso mojado y no siento si está frío en la planta del pie", URGENT),
        ("perdí la chancla en el patio y ni cuenta me di", URGENT),
        ("me quemé los dedos con el comal y no sentí", URGENT),
        ("siento hormigas en los dedos del pie", URGENT),
        ("tengo las nalgas dormidas", EMERGENCY),
        ("no siento el papel cuando me limpio", EMERGENCY),
        ("me senté en la silla y no siento la silla", EMERGENCY),
        ("se me sale la orina sola", EMERGENCY),
        ("no puedo orinar desde ayer", EMERGENCY),
        ("amanecí mojada y no sentí", EMERGENCY),
        ("me gana la pipí antes de llegar al baño", EMERGENCY),
        ("se me dobla la rodilla al bajar", EMERGENCY),
        ("la pierna no me responde", EMERGENCY),
        ("arrastro el pie al caminar", EMERGENCY),
        ("se me caen las tazas de la mano", EMERGENCY),
        ("tengo que subir la pierna con las manos", EMERGENCY),
        ("no me puedo parar", EMERGENCY),
        ("me aprieta el pecho", EMERGENCY),
        ("me falta el aire al caminar", EMERGENCY),
        ("toso con sangre", EMERGENCY),
        ("me desmayé en el baño", EMERGENCY),
        ("mi mamá no sabe dónde está", EMERGENCY),
        ("se le torció la boca de un lado", EMERGENCY),
        ("habla como borracho y no toma", EMERGENCY),
        ("se me está cerrando la garganta", EMERGENCY),
        ("la herida no para de sangrar", EMERGENCY),
        ("ya no quiero vivir", EMERGENCY),
        ("tengo calentura desde anoche", URGENT),
        ("le sale pus a la herida", URGENT),
        ("me salieron ronchas en todo el cuerpo", URGENT),
        ("la pantorrilla izquierda la tengo hinchada y dura", URGENT),
        ("me caí en la regadera", URGENT),
        ("cada día me duele más", URGENT),
        ("tengo un dolor nuevo que me baja por la pierna", URGENT),
        ("he vomitado cuatro veces", URGENT),
    ],
)
def test_a_red_flag_told_in_everyday_spanish_reaches_its_urgency(text: str, urgency: Urgency) -> None:
    assert read_rules(text, None, "es").urgency >= urgency


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("no siento dolor en la pierna", "symptoms"),
        ("ya no siento dolor", "pain"),
        ("no tengo nada de hormigueo", "symptoms"),
        ("ni fiebre ni escalofríos ni nada", "symptoms"),
        ("la pierna no está dormida", "symptoms"),
        ("dormida me quedé viendo la novela, todo bien", "general"),
        ("se me durmió el bebé en el brazo", "general"),
        ("las hormigas se metieron a la azúcar", None),
        ("me muero de risa con mis nietos", "general"),
        ("me orino de la risa con ese video", None),
        ("me duele el codo a la hora de pagar", "general"),
        ("fiebre de mundial aquí en la casa", "general"),
        ("el carro no jala desde ayer", None),
        ("me cae bien la doctora", "general"),
        ("casi me desmayo de la emoción, nació mi nieta", "general"),
        ("la sangre llama, ya vino mi hijo", None),
        ("soy alérgica a la penicilina", None),
        ("me quedé helada con la cuenta del hospital", None),
        ("más fuerte que un roble", "general"),
        ("sin aliento pero de la emoción, se casa mi hija", "general"),
    ],
)
def test_what_only_looks_like_a_symptom_does_not_alarm(text: str, asked: str | None) -> None:
    assert read_rules(text, asked, "es").urgency <= ROUTINE


@pytest.mark.parametrize(
    ("text", "concept", "status"),
    [
        ("no tengo hormigueo en las piernas", "tingling", "denied"),
        ("fiebre no", "fever", "denied"),
        ("niego dolor en el pecho, fiebre", "fever", "denied"),
        ("si se me duerme la pierna ¿a quién llamo?", "numbness", "hypothetical"),
        ("si me llega a dar calentura les aviso", "fever", "hypothetical"),
        ("mi vecina tiene hormigueo en los pies", "tingling", "other_person"),
        ("tuve hormigueo en el pie hace diez años", "tingling", "past"),
        ("el hormigueo en los pies de siempre por la diabetes", "tingling", "baseline"),
        ("el hormigueo del pie ya se me quitó", "tingling", "resolved"),
    ],
)
def test_what_stands_around_a_symptom_gives_its_status(text: str, concept: str, status: str) -> None:
    assert status_of(text, concept) == status


@pytest.mark.parametrize(
    "text",
    [
        "no, tengo la pierna dormida",
        "nada de fiebre, nomás que no siento dos dedos del pie",
        "todo bien, solo que se me dobla la rodilla",
        "ya no siento la pierna",
        "no se me quita la calentura con nada",
        "no he dejado de vomitar desde anoche",
    ],
)
def test_a_no_that_denies_nothing_hides_nothing(text: str) -> None:
    assert read_rules(text, "symptoms", "es").urgency >= URGENT


@pytest.mark.parametrize("text", ["me desmayé en la cocina, ya estoy bien", "me caí de la cama pero ya pasó"])
def test_what_happened_once_is_not_lowered_by_being_over(text: str) -> None:
    assert read_rules(text, None, "es").urgency >= URGENT


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("no", "symptoms"),
        ("ninguno gracias", "symptoms"),
        ("nada de eso", "symptoms"),
        ("sí, limpia y seca", "bandage"),
        ("sí ya pregunté", "blood_thinner"),
        ("2", "pain"),
        ("todo bien gracias a Dios", "general"),
        ("de maravilla", "general"),
        ("al cien, gracias", "general"),
        ("gracias, Dios la bendiga", None),
        ("Buenas tardes", None),
    ],
)
def test_a_reply_that_needs_nobody_is_kept_quiet(text: str, asked: str | None) -> None:
    assert read_rules(text, asked, "es").urgency is NONE


@pytest.mark.parametrize("before", ["Buenas tardes, señorita. ", "hola ", "Buenos días, "])
def test_a_greeting_before_yes_is_still_a_yes(before: str) -> None:
    assert assess(before + "sí", "symptoms", "es").urgency >= URGENT


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("bomito", "vomito"),
        ("ormigeo", "ormigueo"),
        ("zangrando", "sangrando"),
        ("dovla", "dobla"),
        ("devil", "debil"),
        ("mojao", "mojado"),
        ("pielna", "pierna"),
    ],
)
def test_a_word_spelt_by_ear_is_read_as_what_it_sounds_like(written: str, meant: str) -> None:
    assert sounding(written)
    assert sound(written)[:4] == sound(meant)[:4]


@pytest.mark.parametrize("word", ["hola", "casa", "bien", "gracias", "never", "peach"])
def test_everyday_words_sound_like_no_symptom(word: str) -> None:
    assert sounding(word) == ()


def _without_accents(text: str) -> str:
    parts = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def _other_side(text: str) -> str:
    other = {"izquierda": "derecha", "derecha": "izquierda", "izquierdo": "derecho", "derecho": "izquierdo"}
    return re.sub(r"\b(?:izquierd[ao]|derech[ao])\b", lambda found: other[found.group()], text)


CHANGES: dict[str, Callable[[str], str]] = {
    "accents dropped": _without_accents,
    "accents apart": lambda text: unicodedata.normalize("NFD", text),
    "capitals": str.upper,
    "small letters": str.lower,
    "no opening marks": lambda text: re.sub("[¿¡]", "", text),
    "two spaces": lambda text: text.replace(" ", "  "),
    "the other side": _other_side,
    "please behind": lambda text: text.rstrip() + " por fa",
    "greeting before": lambda text: "Buenas tardes, señorita. " + text,
    "name behind": lambda text: text.rstrip() + ". Atte. Rosa",
}


def _red_flags() -> list[tuple[str, str | None, Urgency]]:
    """Spanish red flags of the corpus that the rules find, with more words than a bare answer."""
    found = []
    for family in ("mexico", "nervio", "everyday"):
        for line in (CORPUS / f"{family}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            flagged = row["lang"] == "es" and row["min"] in ("urgent", "emergency")
            if not flagged or len(row["text"].split()) < 4:
                continue
            urgency = read_rules(row["text"], row["asked"], "es").urgency
            if urgency >= URGENT:
                found.append((row["text"], row["asked"], urgency))
    return found


RED_FLAGS = _red_flags()


@pytest.mark.parametrize("change", CHANGES)
def test_how_it_is_typed_never_lowers_an_urgency(change: str) -> None:
    lower = [
        text
        for text, asked, urgency in RED_FLAGS
        if read_rules(CHANGES[change](text), asked, "es").urgency < urgency
    ]
    assert len(RED_FLAGS) > 350
    assert len(lower) == 0, lower
