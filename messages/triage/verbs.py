"""English verb forms, so that a pattern names a verb once. Spanish patterns use beginnings
(``hormigue*``)."""

_IRREGULAR = {
    "be": "be is are am was were been being",
    "bend": "bend bends bent bending",
    "bite": "bite bites bit bitten biting",
    "bleed": "bleed bleeds bled bleeding",
    "blow": "blow blows blew blown blowing",
    "break": "break breaks broke broken breaking",
    "bring": "bring brings brought bringing",
    "burn": "burn burns burned burnt burning",
    "burst": "burst bursts bursting",
    "buy": "buy buys bought buying",
    "catch": "catch catches caught catching",
    "come": "come comes came coming",
    "cut": "cut cuts cutting",
    "do": "do does did done doing",
    "draw": "draw draws drew drawn drawing",
    "drink": "drink drinks drank drunk drinking",
    "drive": "drive drives drove driven driving",
    "eat": "eat eats ate eaten eating",
    "fall": "fall falls fell fallen falling",
    "feel": "feel feels felt feeling",
    "find": "find finds found finding",
    "fly": "fly flies flew flown flying",
    "forget": "forget forgets forgot forgotten forgetting",
    "get": "get gets got gotten getting",
    "give": "give gives gave given giving",
    "go": "go goes went gone going",
    "grow": "grow grows grew grown growing",
    "hang": "hang hangs hung hanging",
    "have": "have has had having",
    "hear": "hear hears heard hearing",
    "hit": "hit hits hitting",
    "hold": "hold holds held holding",
    "hurt": "hurt hurts hurting",
    "keep": "keep keeps kept keeping",
    "know": "know knows knew known knowing",
    "lay": "lay lays laid laying",
    "leave": "leave leaves left leaving",
    "let": "let lets letting",
    "lie": "lie lies lay lain lying",
    "lose": "lose loses lost losing",
    "make": "make makes made making",
    "put": "put puts putting",
    "quit": "quit quits quitting",
    "ride": "ride rides rode ridden riding",
    "rise": "rise rises rose risen rising",
    "run": "run runs ran running",
    "say": "say says said saying",
    "see": "see sees saw seen seeing",
    "shake": "shake shakes shook shaken shaking",
    "shoot": "shoot shoots shot shooting",
    "shut": "shut shuts shutting",
    "sit": "sit sits sat sitting",
    "sleep": "sleep sleeps slept sleeping",
    "slide": "slide slides slid sliding",
    "speak": "speak speaks spoke spoken speaking",
    "spill": "spill spills spilled spilt spilling",
    "spin": "spin spins spun spinning",
    "spit": "spit spits spat spitting",
    "spread": "spread spreads spreading",
    "spring": "spring springs sprang sprung springing",
    "stand": "stand stands stood standing",
    "step": "step steps stepped stepping",
    "stick": "stick sticks stuck sticking",
    "sting": "sting stings stung stinging",
    "stink": "stink stinks stank stunk stinking",
    "sweep": "sweep sweeps swept sweeping",
    "swell": "swell swells swelled swole swoll swollen swelling",
    "swing": "swing swings swung swinging",
    "take": "take takes took taken taking",
    "tear": "tear tears tore torn tearing",
    "tell": "tell tells told telling",
    "think": "think thinks thought thinking",
    "throw": "throw throws threw thrown throwing",
    "wake": "wake wakes woke woken waking",
    "wear": "wear wears wore worn wearing",
    "weep": "weep weeps wept weeping",
    "wet": "wet wets wetted wetting",
    "write": "write writes wrote written writing",
}
_VOWELS = "aeiou"
_DOUBLED = frozenset(
    "drag drip drop flap flop grab grip hop jab jog limp mop nag pop rip rub scab scrub shrug sip skip slap "
    "slip "
    "snap spot stab stir stop strip tap throb tip trap trip wrap zap zip beg hug jar plug pin".split()
) - {"limp"}


def verb_forms(verb: str) -> tuple[str, ...]:
    """Base, -s, past and -ing forms, and the spoken -in: ``drag`` -> drag drags dragged dragging draggin."""
    if verb in _IRREGULAR:
        forms = _IRREGULAR[verb].split()
    else:
        stem = verb + verb[-1] if verb in _DOUBLED else verb
        if verb.endswith("e"):
            forms = [verb, verb + "s", verb + "d", verb[:-1] + "ing"]
        elif verb.endswith("y") and verb[-2] not in _VOWELS:
            forms = [verb, verb[:-1] + "ies", verb[:-1] + "ied", verb + "ing"]
        elif verb.endswith(("s", "sh", "ch", "x", "z")):
            forms = [verb, verb + "es", verb + "ed", verb + "ing"]
        else:
            forms = [verb, verb + "s", stem + "ed", stem + "ing"]
    forms += [form[:-1] for form in forms if form.endswith("ing") and len(form) > 4]
    return tuple(dict.fromkeys(forms))
