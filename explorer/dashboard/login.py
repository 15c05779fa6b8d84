"""The login of the dashboard: a token that is asked for once per browser.

The token comes from the environment of the server, so it is not on a command line. The browser sends it in the body of
a form, never in an address, and gets a cookie that is made of a key of this server process: it holds no token, and a
restart of the server ends all sessions. The form also has the place that the browser asked for, which opens next.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "explorer_login"
PATH = "/login"
OPEN_PATHS = ("/_stcore/health",)  # the health check of Streamlit; its answer contains no data
MAX_BODY = 10_000  # bytes of the form
# Without a referrer a browser sends a form with the origin "null", which the server refuses.
_HEADERS = {"Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
WAIT_SECONDS = 1.0  # after a wrong token; one wrong token is checked at a time

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in</title>
<style>
 :root { color-scheme: light dark }
 body { font: 16px/1.5 system-ui, sans-serif; max-width: 22rem; margin: 20vh auto; padding: 0 1rem }
 input, button { font: inherit; padding: .4rem .6rem; width: 100%; box-sizing: border-box; margin-top: .4rem }
</style>
</head>
<body>
<main>
<h1>Residual network explorer</h1>
@message@
<form method="post" action="/login">
<input type="hidden" name="place" value="@place@">
<label for="token">Token of this dashboard</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
</main>
</body>
</html>
"""


class Login:
    """ASGI middleware: lets only browsers through that know the token.

    Args:
        app: The application.
        token: The token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._token = token.encode()
        key = secrets.token_bytes(32)
        self._session = hmac.new(key, self._token, "sha256").hexdigest()
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_form = scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST"
        is_open = scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS
        if not is_form and (is_open or self._is_known(scope)):  # a form, even of a browser that is logged in elsewhere
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            response: Response = PlainTextResponse("Log in first.\n", 403)
        elif is_form:
            response = await self._checked(scope, receive)
        elif scope["method"] in ("GET", "HEAD") and "text/html" in Headers(scope=scope).get("accept", "text/html"):
            response = HTMLResponse(_page(_asked(scope)), 401, _HEADERS)
        else:
            response = PlainTextResponse("Log in first.\n", 401)
        await response(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        """Return whether the request has the cookie of this server."""
        try:
            cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._session.encode())

    async def _checked(self, scope: Scope, receive: Receive) -> Response:
        """Return the answer to a form with a token."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                return PlainTextResponse("The form is too long.\n", 413)
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        form = parse_qs(body.decode("utf-8", "replace"))
        place = _own_place(form.get("place", [""])[0])
        if hmac.compare_digest(form.get("token", [""])[0].encode(), self._token):
            answer = RedirectResponse(place, 303)
            is_secure = Headers(scope=scope).get("origin", "").startswith("https://")
            answer.set_cookie(COOKIE, self._session, httponly=True, samesite="strict", secure=is_secure)
            return answer
        async with self._one_at_a_time:
            await asyncio.sleep(WAIT_SECONDS)
        return HTMLResponse(_page(place, "This is not the token of this dashboard."), 401, _HEADERS)


def _asked(scope: Scope) -> str:
    """Return the path and the query of a request, to which the login returns."""
    query = scope["query_string"].decode("latin-1")
    path = "/" if scope["path"] == PATH else scope.get("raw_path", b"/").decode("latin-1")
    return f"{path}?{query}" if query else path


def _own_place(place: str) -> str:
    """Return a place that a form names if it is on this server, otherwise the first page.

    ``//HOST`` and ``/\\HOST`` would be other servers; control characters and spaces are not in an address.
    """
    is_own = place.startswith("/") and not place.startswith(("//", "/\\")) and place.isascii()
    return place if is_own and all(" " < sign != "\\" for sign in place) else "/"


def _page(place: str, message: str = "") -> str:
    said = f'<p role="alert">{message}</p>' if message else ""
    return _PAGE.replace("@message@", said).replace("@place@", html.escape(place))
