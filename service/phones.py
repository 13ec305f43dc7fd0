"""Phone numbers: E.164 or refused with the reason."""

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType

HOME_REGION = "US"
REFUSED = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.TOLL_FREE: "a toll-free number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.VOICEMAIL: "a voicemail number",
    PhoneNumberType.UAN: "a company number",
}


class PhoneError(ValueError):
    """The number cannot be used; the message says why and what a good one looks like."""


def parse_phone(text: object) -> str:
    """The E.164 form (``+13125550142``) of a number as people write it. US numbers need no country code.

    Raises PhoneError. The number is never part of the message, so that it cannot reach a log.
    """
    if not isinstance(text, str) or not text.strip():
        raise PhoneError("is missing; write it like +13125550142")
    if len(text) > 40:
        raise PhoneError("is too long for a phone number; write it like +13125550142")
    try:
        number = phonenumbers.parse(text, HOME_REGION)
    except NumberParseException as error:
        raise PhoneError("is not a phone number; write it like +13125550142") from error
    if number.extension:
        raise PhoneError("has an extension, which cannot receive texts; give a mobile number")
    if not phonenumbers.is_possible_number(number):
        raise PhoneError("has the wrong number of digits; write it like +13125550142")
    # 555-01xx are set aside for examples: not assignable, but what demos, tests and rehearsals use.
    if not phonenumbers.is_valid_number(number) and not is_example(number):
        raise PhoneError("is not a number that is in use in its country; check the digits")
    kind = REFUSED.get(phonenumbers.number_type(number))
    if kind:
        raise PhoneError(f"is {kind}, which cannot be used; give the patient's own mobile number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def is_example(number: phonenumbers.PhoneNumber) -> bool:
    """Whether a US number is one of those kept for fiction and tests (555 as area code or exchange)."""
    digits = str(number.national_number)
    return number.country_code == 1 and len(digits) == 10 and (digits[:3] == "555" or digits[3:6] == "555")


def is_e164(text: str) -> bool:
    """Whether a text is already in E.164 form, as carriers send it."""
    return text.startswith("+") and text[1:].isascii() and text[1:].isdigit() and 8 <= len(text) <= 16


def pretty(phone: str) -> str:
    """``+13125550142`` as people read it: ``(312) 555-0142``; other countries in international form."""
    try:
        number = phonenumbers.parse(phone)
    except NumberParseException:
        return phone
    style = (
        phonenumbers.PhoneNumberFormat.NATIONAL
        if number.country_code == 1
        else phonenumbers.PhoneNumberFormat.INTERNATIONAL
    )
    return phonenumbers.format_number(number, style)
