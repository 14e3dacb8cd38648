"""Identity: people and their devices, merchants and their apps, and the keys they are trusted by.

Every verb takes a connection and acts inside its caller's transaction.
"""

from xinghan.identity.actions.apps import (
    create_app,
    create_merchant,
    fetch_app,
    fetch_merchant,
)
from xinghan.identity.actions.people import (
    add_device,
    create_person,
    create_sandbox_person,
    fetch_device,
    fetch_devices,
    fetch_newest_device,
    fetch_person,
    fetch_person_by_name,
    fetch_person_by_user_id,
    unseal_device_secret,
)
from xinghan.identity.actions.platform import (
    SERVING_APPLICATION,
    fetch_platform_address,
    open_vault,
    record_platform_address,
)
from xinghan.identity.directory import AppDirectory
from xinghan.identity.model import (
    App,
    AppCredentials,
    AppMode,
    CertificateFiles,
    Device,
    FeeTerms,
    Merchant,
    MerchantStatus,
    NameMalformed,
    NameTaken,
    NewApp,
    NewDevice,
    Person,
    PersonKey,
    PersonStatus,
)

__all__ = [
    "SERVING_APPLICATION",
    "App",
    "AppCredentials",
    "AppDirectory",
    "AppMode",
    "CertificateFiles",
    "Device",
    "FeeTerms",
    "Merchant",
    "MerchantStatus",
    "NameMalformed",
    "NameTaken",
    "NewApp",
    "NewDevice",
    "Person",
    "PersonKey",
    "PersonStatus",
    "add_device",
    "create_app",
    "create_merchant",
    "create_person",
    "create_sandbox_person",
    "fetch_app",
    "fetch_device",
    "fetch_devices",
    "fetch_merchant",
    "fetch_newest_device",
    "fetch_person",
    "fetch_person_by_name",
    "fetch_person_by_user_id",
    "fetch_platform_address",
    "open_vault",
    "record_platform_address",
    "unseal_device_secret",
]
