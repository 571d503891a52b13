"""Experiments that look into what was taught."""

SMALL = {"digits_explain": {"width": 2, "examined": 12}}
