from tests.accounts.people import House, check_every_operation

#: Written down a second time: a declaration that changes by mistake is found here.
DECLARED = {
    "can_upload_data": {
        "objects.put",
        "uploads.begin",
        "uploads.append",
        "uploads.status",
        "uploads.list",
        "uploads.finish",
        "uploads.convert",
        "uploads.abort",
        "datasets.create",
        "datasets.make_mock",
    },
    "user": {
        "objects.list",
        "objects.describe",
        "objects.get",
        "objects.update",
        "objects.delete",
        "datasets.list",
        "datasets.get",
        "datasets.mock",
        "datasets.update",
        "datasets.update_asset",
        "datasets.publish_statistics",
        "datasets.delete",
        "search.query",
    },
    "node": {"search.published"},
}


def test_the_declarations_of_the_catalogue(house: House) -> None:
    found: dict[str, set[str]] = {}
    for spec in house.node.map.operations():
        if spec.group in ("objects", "uploads", "datasets", "search"):
            found.setdefault(str(spec.permission), set()).add(spec.name)
    assert found == DECLARED


def test_every_operation_against_every_role(house: House) -> None:
    check_every_operation(house)
