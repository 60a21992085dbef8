"""Steps 1 and 2 of the demo: how platforms meet the hub."""

from infra.dev.demo_rig import Platform, Stage, must

HUB_STARTS = frozenset({"cpo-mixed", "emsp-three"})
"""Platforms at which the hub registers; the others register at the hub."""


async def versions_need_a_token(stage: Stage) -> str:
    """Without a token 401; with token A the list of versions."""
    first = stage.platforms["cpo-north"]
    await _invite(stage, first)
    status, body = await stage.ask("GET", stage.versions_url)
    must(status == 401 and body["status_code"] == 2000, f"versions without a token: {status} {body}")
    status, body = await stage.ask("GET", stage.versions_url, stage.tokens[first.name])
    must(status == 200 and [entry["version"] for entry in body["data"]] == ["2.2.1"], f"with token A: {status} {body}")
    return f"no token: 401; token A: {body['data'][0]['version']} at {body['data'][0]['url']}"


async def handshakes(stage: Stage) -> str:
    """Each platform registers at the hub, or the hub at it; afterwards token A is dead."""
    for platform in stage.platforms.values():
        if platform.name in HUB_STARTS:
            await _hub_registers(stage, platform)
        else:
            await _platform_registers(stage, platform)
    listed = await stage.operate("platform", "list")
    connected = [row for row in listed if row["platform"]["status"] == "connected"]
    must(len(connected) == len(stage.platforms), f"connected platforms: {listed}")
    for name, token in stage.tokens.items():
        status, _ = await stage.ask("GET", stage.versions_url, token)
        must(status == 401, f"token A of {name} still opens the door: {status}")
    by_hub = len(HUB_STARTS & stage.platforms.keys())
    return (
        f"{len(connected) - by_hub} platforms registered at the hub, the hub registered at {by_hub}\n"
        f"every token A is dead: {len(stage.tokens)} times 401"
    )


async def _invite(stage: Stage, platform: Platform) -> None:
    role = platform.role.upper()
    invitation = await stage.operate("party", "invite", platform.parties[0], "--role", role, "--name", platform.name)
    stage.tokens[platform.name] = invitation["token"]
    for party in platform.parties[1:]:
        await stage.operate("party", "invite", party, "--role", role, "--platform", invitation["platform_id"])


async def _platform_registers(stage: Stage, platform: Platform) -> None:
    if platform.name not in stage.tokens:
        await _invite(stage, platform)
    await platform.order("register", versions_url=stage.versions_url, token=stage.tokens[platform.name])


async def _hub_registers(stage: Stage, platform: Platform) -> None:
    words = ["platform", "connect", "--url", platform.process.ready["versions_url"], "--name", platform.name]
    words += ["--token", platform.process.ready["token"], "--role", platform.role.upper()]
    connected = await stage.operate(*words, "--party", platform.parties[0])
    for party in platform.parties[1:]:
        role = platform.role.upper()
        await stage.operate(
            "party", "invite", party, "--role", role, "--platform", connected["platform"]["platform_id"]
        )
