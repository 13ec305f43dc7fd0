"""How the carrier must be set up so that texts reach us."""


def address_faults(wanted: str, set_to: str | None, fallback: str | None, where: str) -> list[str]:
    """What is wrong with the carrier's addresses for texts that reach us."""
    if not set_to:
        return [
            f"the {where} has no address for incoming texts, so replies are neither delivered nor logged: "
            f"set it to {wanted}#rc=5&rp=all"
        ]
    address, _, overrides = set_to.partition("#")
    faults = []
    if address != wanted:
        faults.append(f"incoming texts go to {address}, which is not ours: set the {where} to {wanted}")
    if "rc=" not in overrides:
        faults.append(f"a failed delivery of an incoming text is not repeated: set {wanted}#rc=5&rp=all")
    if not fallback:
        faults.append(f"the {where} has no fallback address for incoming texts: set one on another machine")
    return faults
