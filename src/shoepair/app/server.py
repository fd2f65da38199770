"""The app's server: pages, photos sent to it and deleted again, answers. It knows nothing of networks.

Only the browsers of this machine reach it: it listens on the loopback address, and it answers neither a request that
names another host (a page of elsewhere whose name was made to point here) nor one that a page of elsewhere sends.
Photos lie in a temporary folder until they were judged; what is left goes when the server ends.
"""

import functools
import os
import secrets
import shutil
import socket
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import anyio
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shoepair.app.templates import PAGES
from shoepair.errors import UserError
from shoepair.reports.match_page import templates_in
from shoepair.texts import DEFAULT, Texts, languages, load_texts

SIDES = ("left", "right")  # what the two photos of one question are called
MB = 1_000_000
LARGEST_PHOTO, LARGEST_UPLOAD = 50 * MB, 4_000 * MB  # bytes
MOST_PHOTOS = 500  # of an upload: as many as one page of pairs shows
MOST_UPLOADS = 8  # at a time; more than that, and the oldest is deleted
MOST_REQUESTS = 64  # at a time
LONGEST_NAME = 120
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Judge:
    """What the app can do with photos.

    Attributes:
        compare: the answer on a left and a right photo, plain values for JSON; see answers.answer.
        match: writes the page of the pairs among the photos of a folder; given that folder, the names of files that
            were sent as well and are no photos, where sides are known from ("names" or "unknown"), where to write, and
            the language. Returns the page.
        about: on which photos the network learned, and whatever else is to be said where it is used; by language.
    """

    compare: Callable[[Path, Path, Texts], dict[str, Any]]
    match: Callable[[Path, Sequence[str], str, Path, str], Path]
    about: Callable[[Texts], str]


@dataclass
class Upload:
    """Photos of one question, in a folder of their own."""

    folder: Path
    photos: dict[str, int] = field(default_factory=dict)  # their names and bytes
    refused: list[str] = field(default_factory=list)  # names of files that are no photos
    page: Path | None = None

    @property
    def photo_folder(self) -> Path:
        return self.folder / "photos"

    def forget_photos(self) -> None:
        shutil.rmtree(self.photo_folder, ignore_errors=True)
        self.photos.clear()


class Site:
    """The app, with the photos that it holds at the moment."""

    def __init__(self, judge: Judge, folder: Path) -> None:
        self.judge = judge
        self.folder = folder
        self.uploads: dict[str, Upload] = {}
        self.one_at_a_time = anyio.CapacityLimiter(1)  # a network takes all cores as it is
        self.templates = templates_in(PAGES)

    async def page(self, request: Request) -> Response:
        which = request.path_params.get("page", "two")
        if which not in ("two", "heap"):
            raise HTTPException(404)
        language = language_of(request)
        texts = load_texts(language)
        text = self.templates.get_template(f"{which}.html").render(
            t=texts,
            which=which,
            language=language,
            links=[(f"/{page}?language={language}", page) for page in ("two", "heap")],
            language_links=[(f"/{which}?language={code}", code, name) for code, name in languages().items()],
            assets="/static/",
            policy=None,
            private=texts["app"]["private"],
            facts=None,
            about=self.judge.about(texts),
            most_photos=MOST_PHOTOS,
            script_texts=texts["script"],
        )
        return HTMLResponse(text, headers={"Vary": "Accept-Language"})

    async def new_upload(self, request: Request) -> Response:
        while len(self.uploads) >= MOST_UPLOADS:
            self._forget(next(iter(self.uploads)))
        name = secrets.token_urlsafe(16)
        self.uploads[name] = Upload(self.folder / name)
        self.uploads[name].photo_folder.mkdir(parents=True)
        return JSONResponse({"upload": name}, status_code=201)

    async def put_photo(self, request: Request) -> Response:
        upload, texts = self._upload(request), load_texts(language_of(request))
        name = shown = request.query_params.get("side", "")
        if name not in SIDES:
            sent = request.query_params.get("name", "")
            name, shown = safe_name(sent, upload.photos), base_name(sent)[:LONGEST_NAME]
        if len(upload.photos) >= MOST_PHOTOS:
            raise HTTPException(413, texts["app"]["too_many"].format(n=MOST_PHOTOS))
        left = min(LARGEST_PHOTO, LARGEST_UPLOAD - sum(upload.photos.values()))
        upload.photos[name] = 0  # taken, while others are on their way
        path = upload.photo_folder / name
        try:
            with path.open("wb") as file:
                async for chunk in request.stream():
                    upload.photos[name] += len(chunk)
                    if upload.photos[name] > left:
                        raise HTTPException(413, texts["app"]["too_large"].format(name=shown, n=LARGEST_PHOTO // MB))
                    file.write(chunk)
        except BaseException as error:
            upload.photos.pop(name, None)
            path.unlink(missing_ok=True)
            if isinstance(error, ClientDisconnect):  # another photo was chosen, or the page was left
                return Response(status_code=400)
            raise
        self._upload(request)  # it may have been forgotten meanwhile
        if not is_image(path):
            upload.photos.pop(name)
            path.unlink()
            upload.refused.append(shown)
            said = texts["two"]["unreadable"].get(name, texts["app"]["no_photo"].format(name=shown))
            raise HTTPException(415, said)
        return JSONResponse({"name": name})

    async def compare(self, request: Request) -> Response:
        """What is said of the photos "left" and "right", which are then deleted."""
        upload, texts = self._upload(request), load_texts(language_of(request))
        if upload.photos.keys() < set(SIDES):
            raise HTTPException(409, texts["app"]["two_needed"])
        both = (upload.photo_folder / side for side in SIDES)
        try:
            return JSONResponse(await self._judged(upload, self.judge.compare, *both, texts))
        finally:
            self._forget(request.path_params["upload"])

    async def match(self, request: Request) -> Response:
        """Finds the pairs among the photos, which are then deleted. Says where their page is."""
        upload, language = self._upload(request), language_of(request)
        if len(upload.photos) < 2:
            raise HTTPException(409, load_texts(language)["app"]["two_needed"])
        sides = "unknown" if request.query_params.get("sides") == "unknown" else "names"
        out = upload.folder / "pairs"
        try:
            upload.page = await self._judged(
                upload, self.judge.match, upload.photo_folder, upload.refused, sides, out, language
            )
        finally:
            upload.forget_photos()
        return JSONResponse({"page": f"/uploads/{request.path_params['upload']}/pairs"})

    async def pairs(self, request: Request) -> Response:
        upload = self._upload(request)
        if upload.page is None:
            raise HTTPException(404)
        return FileResponse(upload.page, media_type="text/html")  # it brings a policy of its own

    async def delete(self, request: Request) -> Response:
        self._upload(request)
        self._forget(request.path_params["upload"])
        return Response(status_code=204)

    async def _judged(self, upload: Upload, judge: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await anyio.to_thread.run_sync(functools.partial(judge, *arguments), limiter=self.one_at_a_time)
        except UserError as error:
            said = str(error).replace(f"{upload.photo_folder}{os.sep}", "").replace(f"{upload.photo_folder}: ", "")
            raise HTTPException(422, said) from error

    def _upload(self, request: Request) -> Upload:
        try:
            return self.uploads[request.path_params["upload"]]
        except KeyError:
            raise HTTPException(404, load_texts(language_of(request))["app"]["gone"]) from None

    def _forget(self, name: str) -> None:
        upload = self.uploads.pop(name, None)
        if upload is not None:
            shutil.rmtree(upload.folder, ignore_errors=True)


def language_of(request: Request) -> str:
    """The one that the address asks for, else the one that the browser likes best of those there are."""
    asked = request.query_params.get("language", "")
    wanted = [part.partition(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    for code in (asked, *wanted):
        short = code.partition("-")[0].lower()
        if short in languages():
            return short
    return DEFAULT


def base_name(sent: str) -> str:
    """Of the name of a file that is sent, what leads nowhere."""
    base = PurePosixPath(PureWindowsPath(sent).name).name
    return "".join(letter for letter in base if letter.isprintable()).strip().lstrip(".")


def safe_name(sent: str, taken: dict[str, int]) -> str:
    """The name for a file that is sent, as it is but for what could lead out of its folder; another one if it is taken.

    Raises:
        HTTPException: if nothing is left of it.
    """
    base = base_name(sent)
    stem, suffix = Path(base).stem, Path(base).suffix
    if stem and suffix.lower() not in Image.registered_extensions():
        stem, suffix = base, ".jpg"  # phones send photos without an ending
    name = f"{stem[: LONGEST_NAME - len(suffix)]}{suffix}"
    if not stem or len(name.encode(errors="replace")) > 250:
        raise HTTPException(400, f"{sent[:LONGEST_NAME]!r}: expected the name of a photo, such as shoe.jpg.")
    number = 2
    while name in taken:
        name, number = f"{stem[: LONGEST_NAME - len(suffix)]} ({number}){suffix}", number + 1
    return name


def is_image(path: Path) -> bool:
    """Whether a file begins like one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.open(path).close()
    except Image.DecompressionBombError:  # some can be read all the same; that is for the judge to say
        return True
    except Exception:  # pillow raises many kinds for broken files; each means the same here
        return False
    return True


async def say_why(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)


class Guarded:
    """Refuses what pages of elsewhere send, and tells browsers to fetch nothing from elsewhere and to keep nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        origin = request.headers.get("origin")
        if origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}":
            refused = JSONResponse({"error": "this page is not of this app"}, status_code=403)
            await refused(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {
                    "cache-control": "no-store",
                    "referrer-policy": "no-referrer",
                    "x-content-type-options": "nosniff",
                    "cross-origin-resource-policy": "same-origin",
                }
                if not scope["path"].endswith("/pairs"):
                    headers["content-security-policy"] = POLICY
                message["headers"] += [(name.encode(), value.encode()) for name, value in headers.items()]
            await send(message)

        await self.app(scope, receive, send_guarded)


def make_app(judge: Judge, hosts: list[str], folder: Path) -> Starlette:
    """The app.

    Args:
        hosts: the names by which browsers may call it.
        folder: for the photos; whoever made it deletes it.
    """
    site = Site(judge, folder)
    one = "/uploads/{upload}"
    routes = [
        Route("/", site.page),
        Route("/uploads", site.new_upload, methods=["POST"]),
        Route(one, site.put_photo, methods=["PUT"]),
        Route(one, site.delete, methods=["DELETE"]),
        Route(f"{one}/verdict", site.compare, methods=["POST"]),
        Route(f"{one}/pairs", site.match, methods=["POST"]),
        Route(f"{one}/pairs", site.pairs),
        Mount("/static", StaticFiles(directory=PAGES / "static")),
        Route("/{page}", site.page),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        Middleware(Guarded),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: say_why})


def listen(host: str, port: int) -> socket.socket:
    """Raises UserError if it cannot listen there."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(f"--host {host} --port {port}: {error.strerror or error}; try another one.") from error


def make_server(judge: Judge, host: str, folder: Path) -> uvicorn.Server:
    """A server for a socket of listen(); its photos lie in the folder, which whoever made it deletes."""
    hosts = ["127.0.0.1", "localhost", "[::1]", f"[{ip_address(host).compressed}]" if ":" in host else host]
    app = make_app(judge, hosts, folder)
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, limit_concurrency=MOST_REQUESTS,
            timeout_keep_alive=5, ws="none", timeout_graceful_shutdown=3,
        )
    )  # fmt: skip
