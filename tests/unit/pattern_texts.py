"""Texts for the tests of the patterns: disguises of what must be found, and innocent sentences that must pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

LONG_WORD = re.compile(r"[^\W\d_]{4,}")
SPELT_WORD = re.compile(r"(?<!\S)[^\W\d_ß]{3,}(?!\S)")
"""Not with `ß`, whose fold has two letters, and not beside signs, which would stand between the letters."""
LEET = str.maketrans("aeiost", "431057")
LOOKALIKES = str.maketrans("aeiopcx", "аеіорсх")
VOWELS = re.compile(r"[aeiou]", re.IGNORECASE)


def _every_other_letter(word: str) -> str:
    """A word in which every other letter that has one is written as a sign; most of its letters stay."""
    return "".join(
        letter.translate(LEET) if number % 2 and letter.isascii() else letter for number, letter in enumerate(word)
    )


def _leetspeak(text: str) -> str:
    return LONG_WORD.sub(lambda word: _every_other_letter(word.group().lower()), text)


def _spelled(text: str, between: str) -> str:
    return SPELT_WORD.sub(lambda word: between.join(word.group()), text)


def _repeated(text: str) -> str:
    return LONG_WORD.sub(lambda word: word.group()[:-1] + word.group()[-1] * 4, text)


DISGUISES: Mapping[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "leetspeak": _leetspeak,
    "letters parted by blanks": lambda text: _spelled(text.replace(" ", "   "), " "),
    "letters parted by dots": lambda text: _spelled(text, "."),
    "letters parted by hyphens": lambda text: _spelled(text, "-"),
    "accents": lambda text: VOWELS.sub(lambda vowel: vowel.group() + "\u0301", text),
    "Cyrillic letters": lambda text: text.translate(LOOKALIKES),
    "zero-width signs": lambda text: LONG_WORD.sub(lambda word: word.group()[:2] + "\u200b" + word.group()[2:], text),
    "soft hyphens": lambda text: LONG_WORD.sub(lambda word: word.group()[:3] + "\u00ad" + word.group()[3:], text),
    "full-width letters": lambda text: "".join(
        chr(ord(letter) + 0xFEE0) if "a" <= letter <= "z" else letter for letter in text
    ),
    "repeated letters": _repeated,
    "other blanks": lambda text: text.replace(" ", "\u00a0\n\u2003"),
    "exclamations": lambda text: f"!!! {text}!!!",
}

INNOCENT = (
    # English
    "Kill the process with signal 9, then start the daemon again.",
    "We shoot a photo of the class in front of the school at noon.",
    "Scunthorpe, Penistone and Cockermouth are towns; Essex and Sussex are counties.",
    "Mr Cockburn and Ms Dickinson classify grass samples for the assessment.",
    "I finished Assassin's Creed and Call of Duty on the same weekend.",
    "The therapist analysed the shiitake and the cockatoo.",
    "A bomb disposal team made the old shell safe.",
    "She passed the bar exam and had a glass of water.",
    "Dial 4 1 3 or 555-0199, room A1, size XXL, price $45.50.",
    "H2O, CO2, mp3, b2b, 4x4, C3PO, x86 and utf8 are no insults.",
    "The U. S. A. team, e. g. the A B C D squad, won 3 2 1.",
    "Heroine of the novel, she cracked the case at high speed.",
    "The recipe needs a joint of beef, herbs and a pot of coke-fired coals.",
    "My grandmother grows roses and pulls every weed by hand.",
    "It is sooooo cooool, yessss, hmmmm!!!",
    # Español
    "Voy a matar el tiempo en el museo hasta que abra la tienda.",
    "La computadora ejecuta el proceso y después lo termina.",
    "El pico de la montaña está cubierto de nieve negra de ceniza.",
    "Compré una bomba de agua para el pozo de la casa.",
    "El camello cruza el desierto con agua y dátiles.",
    "Me muero de risa con tus chistes sobre el examen.",
    "El tiro libre pegó en el palo y el árbitro pitó el final.",
    "El Mar Muerto, la Sierra Morena y la Costa Brava.",
    "Disparar la cámara con poca luz exige un trípode.",
    "La coca cola y el perico son palabras del crucigrama.",
    # Français
    "Je vais te gâcher la surprise si je raconte la fin du film.",
    "La bombe glacée est un dessert de fête.",
    "La chatte et ses chatons dorment au soleil.",
    "Il a tiré un but et la foule a crié.",
    "Nous allons couper le pain et la tarte en six.",
    "L'héroïne du roman traverse la Manche en ballon.",
    "Faire la queue devant la boulangerie le dimanche.",
    "Le pain, le vin et le fromage : un bon repas ! Oui ?",
    "La mort de l'empereur changea le cours de la guerre.",
    "Mon con­cours de piano est en con­flit avec le tien.",
    # Deutsch
    "Die Straße, die Brücke und die Stadt liegen am Fluss.",
    "Die kids die hier wohnen, spielen im Garten.",
    "Die Fotos schießen wir morgen früh am See.",
    "Die Toten Hosen spielen am Samstag in Düsseldorf.",
    "Das Gift der Kreuzotter ist selten gefährlich, ein Gift ist kein Geschenk.",
    "Der Dickdarm und der Analphabet stehen im Lexikon.",
    "Ich bringe dich um acht zum Bahnhof.",
    "Der Prozess wird beendet und der Rechner neu gestartet.",
    "Mist, der Hahn kräht und der Ficus braucht Wasser.",
    "Gras mähen, Heu machen, Speck räuchern.",
    # Italiano
    "Ammazzo il tempo leggendo un giallo sul treno.",
    "La bomba d'acqua ha allagato la stazione.",
    "Il finocchio crudo in insalata è ottimo.",
    "La scopa è dietro la porta della cucina.",
    "Le eroine di Puccini cantano in soprano.",
    "Il tiro con l'arco è uno sport olimpico.",
    "Ho mangiato una fetta di torta e i fichi d'India.",
    "Il Mar Morto è il punto più basso della terra.",
    "Tagliami una fetta di pane, per favore.",
    "Morire dal ridere non è mai successo.",
    # Português
    "Vou matar a saudade de você no domingo.",
    "O pinto saiu do ovo e a galinha cacarejou.",
    "A bicha do supermercado em Lisboa era longa.",
    "O mato alto da rua precisa de corte.",
    "Comi uma bomba de chocolate na padaria.",
    "O filme é baseado em fatos reais.",
    "A heroína da novela casou no último capítulo.",
    "O avião pousou no aeroporto de Porto Alegre.",
    "A rapariga portuguesa comprou propinas da faculdade.",
    "Tirei uma foto do pau-brasil no parque.",
)
