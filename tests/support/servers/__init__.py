"""A simulated archive online: a STAC API, its files, their signatures, and a network that fails as told.

    def test_a_network_that_fails(archive_online, small_archive, tmp_path):    # fixtures of tests/conftest.py
        catalog = {"profile": "planetary-computer", "location": archive_online.catalog_url}
        folder = make_workspace(tmp_path, small_archive, catalog=catalog)
        archive_online.begin(Rule(rate=0.05), seed=3)            # 5 % of all requests, every kind alike often
        monitor("run", ..., env=archive_online.environment)
        seen = archive_online.seen()                             # since `begin`
        print(seen.faults, len(seen.reads), sum(read.size for read in seen.reads), seen.token_requests)
        assert not seen.strangers                                # hosts of the real internet
        archive_online.begin(Rule("B03_10m.tif", kinds=(Fault.MISSING,)))      # always, for these assets

Outside pytest: `with archive_online(folder, postgis_url) as online`, from `tests.servers.online`. The hosts
exist behind the proxy only, and `environment` leads there; a client that goes around it reaches nothing.
"""
