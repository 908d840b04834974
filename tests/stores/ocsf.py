"""Validates OCSF records, one JSON object a line on standard input, against OCSF's own schema.

    python3 ocsf.py < records

Standard library alone; tests/vectors/ocsf/schema.json is the part of OCSF 1.8.0 that hushpipe's records use.
Every attribute must be one of its class or object, of its type, with a value of its enumeration; what is
required is there, and so is one of each `at_least_one`. Ends with 1 and says what is wrong, or prints how many
records are valid.
"""

import json
import os
import re
import sys

PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "ocsf", "schema.json")
with open(PLACE, encoding="utf-8") as file:
    SCHEMA = json.load(file)
DICTIONARY = SCHEMA["dictionary"]["attributes"]
TYPES = SCHEMA["dictionary"]["types"]
BASES = {
    "string_t": str,
    "integer_t": int,
    "long_t": int,
    "float_t": (int, float),
    "boolean_t": bool,
    "json_t": object,
}


def merged(attributes, more):
    for name, attribute in more.items():
        if name != "$include":
            before = attributes.get(name, {})
            enum = {**before.get("enum", {}), **attribute.get("enum", {})}
            attributes[name] = {**before, **{k: v for k, v in attribute.items() if v is not None}}
            if enum:
                attributes[name]["enum"] = enum
    return attributes


def resolved(kind, name):
    """All attributes of a class or object, and what must be there of several."""
    definition = SCHEMA[kind][name]
    above = definition.get("extends")
    attributes, constraints = resolved(kind, above) if above else ({}, {})
    included = definition["attributes"].get("$include", [])
    for profile in [included] if isinstance(included, str) else included:
        # What a profile requires counts where a record names it, and none of ours does.
        extra = SCHEMA["profiles"][profile]["attributes"].items()
        merged(attributes, {k: {**v, "requirement": "optional"} for k, v in extra if k != "$include"})
    merged(attributes, definition["attributes"])
    for name in ("category_uid", "class_uid"):
        attributes.get(name, {}).pop("enum", None)
    return attributes, {**constraints, **definition.get("constraints", {})}


def check_type(value, attribute, entry, where, wrong):
    kind = attribute.get("type", entry["type"])
    if kind in SCHEMA["objects"] and kind != "object":
        return check_object(value, "objects", kind, where, wrong)
    if kind == "object":
        return None if isinstance(value, dict) else wrong.append(f"{where}: no object")
    rules, base = TYPES.get(kind), kind
    if rules is None:
        return wrong.append(f"{where}: objects of type {kind} are not in the vendored part")
    regexes = []
    while base not in BASES:
        regexes.append(TYPES[base].get("regex"))
        base = TYPES[base]["type"]
    is_bool = isinstance(value, bool) and base != "boolean_t" and base != "json_t"
    if is_bool or not isinstance(value, BASES[base]):
        return wrong.append(f"{where}: {value!r} is no {kind}")
    for regex in filter(None, regexes):
        if not re.search(regex, value):
            wrong.append(f"{where}: {value!r} is no {kind}")
    enum = {**entry.get("enum", {}), **attribute.get("enum", {})}
    if enum and str(value) not in enum:
        wrong.append(f"{where}: {value} is none of {', '.join(enum)}")
    return None


def check_object(record, kind, name, where, wrong):
    if not isinstance(record, dict):
        wrong.append(f"{where}: no object")
        return
    attributes, constraints = resolved(kind, name)
    for key, attribute in attributes.items():
        if attribute.get("requirement") == "required" and key not in record:
            wrong.append(f"{where}: {key} is missing")
    for rule, keys in constraints.items():
        count = sum(key in record for key in keys)
        if rule == "at_least_one" and count < 1 or rule == "just_one" and count != 1:
            wrong.append(f"{where}: {rule} of {', '.join(keys)}, and {count} are there")
    for key, value in record.items():
        place = f"{where}.{key}"
        if key not in attributes:
            wrong.append(f"{place}: no attribute of {name}")
            continue
        entry = DICTIONARY[key]
        if entry.get("is_array") != isinstance(value, list) and (entry.get("is_array") or isinstance(value, list)):
            wrong.append(f"{place}: a list is wanted, or not wanted")
            continue
        for item in value if isinstance(value, list) else [value]:
            check_type(item, attributes[key], entry, place, wrong)


def check(record):
    wrong = []
    for name in SCHEMA["events"]:
        definition = SCHEMA["events"][name]
        above = definition
        while "category" not in above:
            above = SCHEMA["events"][above["extends"]]
        category = SCHEMA["categories"].get(above["category"], {"uid": 0})["uid"]
        uid = category * 1000 + definition.get("uid", 0)
        if definition.get("uid") and record.get("class_uid") == uid:
            check_object(record, "events", name, name, wrong)
            type_uid = uid * 100 + record.get("activity_id", -1)
            if record.get("category_uid") != category or record.get("type_uid") != type_uid:
                wrong.append(f"{name}: category_uid and type_uid do not fit class and activity")
            break
    else:
        wrong.append(f"class_uid {record.get('class_uid')} is none that is known")
    if record.get("metadata", {}).get("version") != SCHEMA["version"]:
        wrong.append(f"metadata.version is not {SCHEMA['version']}")
    return wrong


def main():
    count = 0
    for line in sys.stdin:
        record = json.loads(line)
        wrong = check(record)
        if wrong:
            sys.exit("INVALID: " + "; ".join(wrong) + "\n" + line)
        count += 1
    print(f"valid: {count} records of OCSF {SCHEMA['version']}")


if __name__ == "__main__":
    main()
