"""A client library that nobody knows, for tests of what traces libraries from outside."""

import asyncio
import functools


class Stream:
    def __init__(self, items):
        self._iterator = iter(items)
        self.closed = False

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._iterator)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        self.closed = True


class AsyncStream:
    def __init__(self, items):
        async def read():
            for item in items:
                await asyncio.sleep(0)
                yield item

        self._iterator = read()
        self.closed = False

    def __aiter__(self):
        return self

    async def __anext__(self):
        return await self._iterator.__anext__()

    async def close(self):
        self.closed = True


class Manager:
    def __init__(self, request):
        self.__request = request

    def __enter__(self):
        return self.__request()

    def __exit__(self, *exc_info):
        pass


class AsyncManager:
    def __init__(self, request):
        self.__request = request

    async def __aenter__(self):
        return await self.__request

    async def __aexit__(self, *exc_info):
        pass


def announced(function):
    """Hides that a function is a coroutine function, as client libraries' decorators do."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Base:
    def inherited(self, text):
        return text


class Client(Base):
    def create(self, text, *, fail=None, inside=None, **options):
        if inside is not None:
            inside()
        if fail is not None:
            raise fail
        return text

    async def acreate(self, text, *, fail=None):
        await asyncio.sleep(0)
        if fail is not None:
            raise fail
        return text

    @announced
    async def hidden(self, text):
        await asyncio.sleep(0)
        return text

    def future(self, text):
        future = asyncio.get_running_loop().create_future()
        future.set_result(text)
        return future

    def stream(self, items):
        return Stream(items)

    async def astream(self, items):
        return AsyncStream(items)

    def generate(self, items):
        sent = []
        for item in items:
            if isinstance(item, Exception):
                raise item
            try:
                sent.append((yield item))
            except LookupError as error:
                sent.append(str(error))
        return sent

    async def agenerate(self, items):
        for item in items:
            await asyncio.sleep(0)
            yield item

    def manage(self, items):
        return Manager(lambda: Stream(items))

    def amanage(self, items):
        async def request():
            return AsyncStream(items)

        return AsyncManager(request())

    @classmethod
    def of_class(cls, text):
        return f"{cls.__name__} {text}"

    @staticmethod
    def static(text):
        return text
