"""Fetches the source archive of a package with pip, checks its hash and unpacks it.

`pip download` would first run the package's own build script, which may want anything; so this takes pip's parts that find,
fetch, check and unpack, and stops there. They are no public interface: the version of pip is pinned where it is installed.

    fetch.py NAME VERSION SHA256 DIRECTORY
"""

import sys

from pip._internal.commands.download import DownloadCommand
from pip._internal.exceptions import PipError
from pip._internal.network.download import Downloader
from pip._internal.operations.prepare import get_http_url
from pip._internal.utils.hashes import Hashes
from pip._internal.utils.temp_dir import global_tempdir_manager
from pip._internal.utils.unpacking import unpack_file
from pip._vendor.packaging.specifiers import SpecifierSet


def main() -> None:
    name, version, sha256, directory = sys.argv[1:]
    command = DownloadCommand("download", "")
    with command.main_context(), global_tempdir_manager():
        options, _ = command.parse_args(["--no-deps", "--no-binary", ":all:", name])
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session)
        found = finder.find_best_candidate(name, SpecifierSet(f"=={version}")).best_candidate
        if found is None:
            sys.exit(f"the package index offers no source archive of {name} {version}")
        archive = get_http_url(found.link, Downloader(session, "off"), hashes=Hashes({"sha256": [sha256]}))
        unpack_file(archive.path, directory, archive.content_type)


try:
    main()
except PipError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
