"""Settings: from the environment and ``.env``; ``.env.example`` is the template."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

HERE = Path(__file__).parent
DEFAULT_PASSWORD = "changethis"  # noqa: S105 - refused in production
_TOO_EASY = frozenset(("", DEFAULT_PASSWORD, "changeme", "password", "admin", "secret"))
MIN_PASSWORD_CHARS = 8


class Settings(BaseSettings):
    """Everything the service can be told. Names in the environment are the same, in capitals.

    Attributes:
        app_env: ``production`` refuses to start with an empty, default or short password.
        host, port: where it listens.
        models, model_name: the folder of models, and the one that is asked.
        store_url, redis_url: where predictions are kept; ``redis_url`` goes first.
        max_recent: answers by URL remembered in memory for a minute; 0: none.
        prediction_ttl_days: days until a prediction expires.
        board_reload_s: with Redis, seconds between looks at what other processes counted; 0: never.
        tweet_source: where tweets come from.
        archive_path: a JSON Lines file, or the folder of an X data archive.
        predict_on_start: an archive of at most so many tweets is predicted at start; 0: never.
        x_bearer_token, x_api_url, x_timeout_s: X's credential, address and patience.
        first_superuser, first_superuser_password: who may empty the cache.
        log_text: whether texts stand in the log.
        log_format: lines for people or JSON.
        max_texts: the most texts in one call.
        drain_timeout_s: how long a stop may take, in seconds.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_ignore_empty=False,
    )

    app_env: Literal["development", "test", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    models: Path = Path("models")
    model_name: str = "tweet-sentiment"
    store_url: SecretStr = SecretStr(f"sqlite:///{HERE / '.data' / 'predictions.db'}")
    redis_url: SecretStr | None = None
    max_recent: int = Field(default=10_000, ge=0)
    prediction_ttl_days: float = Field(default=60, gt=0)
    board_reload_s: float = Field(default=300, ge=0)
    tweet_source: Literal["archive", "x"] = "archive"
    archive_path: Path = HERE / "archive" / "tweets.jsonl"
    predict_on_start: int = Field(default=1000, ge=0)
    x_bearer_token: SecretStr = SecretStr("")
    x_api_url: str = "https://api.twitter.com"
    x_timeout_s: float = Field(default=10, gt=0)
    first_superuser: str = "admin"
    first_superuser_password: SecretStr = SecretStr(DEFAULT_PASSWORD)
    log_text: bool = False
    log_format: Literal["human", "json"] = "human"
    max_texts: int = Field(default=1000, ge=1)
    drain_timeout_s: float = Field(default=10, ge=0)

    @model_validator(mode="after")
    def _is_safe(self) -> Settings:
        password = self.first_superuser_password.get_secret_value()
        easy = password.lower() in _TOO_EASY or password == self.first_superuser
        if self.app_env == "production" and (easy or len(password) < MIN_PASSWORD_CHARS):
            raise ValueError(
                "APP_ENV=production needs a FIRST_SUPERUSER_PASSWORD of its own, of at least "
                f"{MIN_PASSWORD_CHARS} characters"
            )
        if self.tweet_source == "x" and not self.x_bearer_token.get_secret_value():
            raise ValueError("TWEET_SOURCE=x needs X_BEARER_TOKEN")
        return self

    @property
    def effective_store_url(self) -> str:
        """Where predictions are kept; holds a credential, perhaps."""
        url = self.redis_url or self.store_url
        return url.get_secret_value() or self.store_url.get_secret_value()
