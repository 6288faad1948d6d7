"""A browser without a screen: it asks for the pages of a sandbox in the same process."""

import html
import re
from collections.abc import Mapping
from typing import Any

import httpx

from identomat_async.sandbox import Sandbox, Script

OWN = {"origin": "http://localhost"}
RETURN = "https://shop.example/done?order=7"
TOKEN = "a" * 40
EVIL = "<script>alert('x')</script>\"'&"
QUESTIONS = [
    {
        "type": "boolean",
        "key": "has-job",
        "mandatory": True,
        "title": {"en": "A job?", "ka": "კი?"},
    },
    {"type": "string", "key": "employer", "mandatory": True, "title": "Employer"},
    {
        "type": "options",
        "key": "income",
        "mandatory": True,
        "title": "Income",
        "options": [{"key": "low", "title": {"en": "Low"}}, {"key": "high"}, {"key": 3}],
    },
    {
        "type": "multiple-choice",
        "key": "sources",
        "mandatory": True,
        "title": "Sources",
        "options": [{"key": "salary", "title": "Salary"}, {"key": "rent", "title": "Rent"}],
    },
    {"type": "string", "key": "remark"},
    {"type": "multiple-choice", "key": "hobbies", "options": [{"key": "chess"}]},
]
ANSWERS = {
    "q0.0": "no",
    "q0.1": "Sample Ltd",
    "q0.2": "1",
    "q0.3": ["0", "1"],
    "q0.4": " ",
}
ANSWERED = [
    {"key": "has-job", "answer": False},
    {"key": "employer", "answer": "Sample Ltd"},
    {"key": "income", "answer": "high"},
    {"key": "sources", "answer": ["salary", "rent"]},
    {"key": "remark"},
    {"key": "hobbies"},
]


def questionnaire(**members: object) -> dict[str, object]:
    return {"type": "user-questionnaire", "key": "work", "questions": QUESTIONS} | members


def browser(sandbox: Sandbox) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=sandbox.transport(), base_url="http://localhost")


def begun(sandbox: Sandbox, *steps: object, **flags: object) -> str:
    sandbox.plant(
        TOKEN,
        Script.of("approved", after=20),
        parameters={"flags": {"skip_agreement": True} | flags, "steps": list(steps)},
    )
    return f"/?session_token={TOKEN}"


async def get(sandbox: Sandbox, path: str, **headers: str) -> httpx.Response:
    async with browser(sandbox) as http:
        return await http.get(path, headers=headers)


async def post(
    sandbox: Sandbox, path: str, headers: Mapping[str, str] = OWN, **form: Any
) -> httpx.Response:
    async with browser(sandbox) as http:
        return await http.post(path, data=form, headers=headers)


async def result(sandbox: Sandbox) -> dict[str, Any]:
    answer = await post(sandbox, "/external-api/result/", {}, company_key="k", session_token=TOKEN)
    found: dict[str, Any] = answer.json()
    return found


def shown(page: httpx.Response) -> str:
    """Return what can be read on a page."""
    text = re.sub(r"<[^>]*>", " ", page.text.partition("<main>")[2])
    return " ".join(html.unescape(text).split())
