"""Where Twilio brings texts that reach us, as its own configuration says. ``client`` is the library's."""

from typing import Any

from service.carriers.twilio_setup import Door

MOST = 100
NOT_THERE = 404


def doors(client: Any, from_phone: str | None, service_sid: str | None) -> list[Door] | None:
    """Every door that counts for our sender; None when the number is not one of the account.

    1. A messaging service has one door, unless it leaves it to its numbers: then each has its own.
    2. A number has its own, unless it lies in a messaging service (as registered numbers do), whose door is
    used instead. Raises what the library raises.
    """
    if service_sid:
        return _of_service(client, client.messaging.v1.services(service_sid).fetch())
    numbers = client.incoming_phone_numbers.list(phone_number=from_phone, limit=1)
    if not numbers:
        return None
    service = _service_of(client, str(numbers[0].sid))
    return [_of_number(numbers[0])] if service is None else _of_service(client, service, numbers[0])


def _of_service(client: Any, service: Any, number: Any = None) -> list[Door]:
    if not service.use_inbound_webhook_on_number:
        where = f"the messaging service {service.sid}"
        url, fallback = service.inbound_request_url, service.fallback_url
        return [Door(where, url, service.inbound_method, fallback, is_service=True)]
    if number is not None:
        return [_of_number(number)]
    listed = client.messaging.v1.services(service.sid).phone_numbers.list(limit=MOST)
    return [_of_number(client.incoming_phone_numbers(one.sid).fetch()) for one in listed]


def _of_number(number: Any) -> Door:
    return Door(
        f"the number {number.phone_number}",
        number.sms_url,
        number.sms_method,
        number.sms_fallback_url,
        application=number.sms_application_sid or None,
    )


def _service_of(client: Any, number_sid: str) -> Any | None:
    """The messaging service a number lies in."""
    for service in client.messaging.v1.services.list(limit=MOST):
        try:
            client.messaging.v1.services(service.sid).phone_numbers(number_sid).fetch()
            return service
        except Exception as error:  # the library's, which only service.carriers.twilio imports
            if int(getattr(error, "status", None) or 0) != NOT_THERE:
                raise
    return None
