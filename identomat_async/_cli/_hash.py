"""The command `identomat hash`."""

from identomat_async._cli._account import Account, BaseUrl, CaFile, KeyFile, SecretFile
from identomat_async._cli._options import AsJson, TokenFile, Tokens
from identomat_async._cli._terminal import put, put_json
from identomat_async._cli._tokens import named_items


# It shadows a builtin; the command is named so for those who search a log.
def hash_(
    tokens: Tokens = None,
    *,
    file: TokenFile = None,
    json: AsJson = False,
    key_file: KeyFile = None,
    secret_file: SecretFile = None,
    base_url: BaseUrl = None,
    ca_file: CaFile = None,
) -> None:
    """
    Write what stands for a token in logs, events and tables.

    It is keyed with the company key, and the same in every process. Nothing is sent.
    """
    account = Account(
        key_file=key_file, secret_file=secret_file, base_url=base_url, ca_file=ca_file
    )
    client = account.client()
    for item in named_items(tokens or [], file):
        token_hash = client.token_hash(item.token)
        if json:
            put_json({"token": item.token, "token_hash": token_hash})
        else:
            put(token_hash)
