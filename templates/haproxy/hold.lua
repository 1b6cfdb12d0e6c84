-- Written by pgs. What HAProxy itself does not do for databases, for all tenants of this entry.
--
--   tcp-request content lua.pgs_hold_leader <limit, ms> <backend>
--   tcp-request content lua.pgs_hold_any <limit, ms> <backend> <backend>
--   tcp-request content lua.pgs_not_alone <backend>
--
-- The first two hold a new connection while no member can take it (HAProxy would close it at once), let it go as soon as one of the
-- backends has a usable server, and close it when the limit is over, or at once when this entry is alone. The third does only that
-- last thing, in front of poolers, whose sessions are then cut, too.
--
-- And three tasks: who is alone, whose leader is still one, and whose sessions are cut.

local pause_ms = 40
local look_ms = 250

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

-- Servers of all backends whose name matches.
local function servers_of(pattern)
  local servers = {}
  for backend, proxy in pairs(core.backends) do
    if backend:find(pattern) then
      for _, server in pairs(proxy.servers) do servers[#servers + 1] = { server = server, backend = backend } end
    end
  end
  return servers
end

-- How the last check ended; one may be under way, which HAProxy shows by a star.
local function last_check(stats)
  return (stats.check_status:gsub("^%* ", ""))
end

-- Alone: cut off from all other hosts, the entry cannot learn who leads, and its clients had better try another one.

-- Longer than an etcd takes to elect, shorter than any lease.
local alone_after_ms = 5000
-- With one other host it cannot be told which of the two is cut off.
local alone_hosts_min = 2
local own_address = os.getenv("PGS_ADDRESS")
local unreached_since_ms = nil

local function is_alone()
  return unreached_since_ms ~= nil and now_ms() - unreached_since_ms > alone_after_ms
end

-- A host that refuses is reached; one that does not answer, or to which there is no route, is not.
local function is_unreached(stats)
  local check = last_check(stats)
  return check == "L4TOUT" or (check == "L4CON" and not stats.last_chk:find("refused", 1, true))
end

-- Ends at the first host that answers, so it costs next to nothing while all is well.
local function look_who_is_reached()
  local others = {}
  for _, one in ipairs(servers_of(":leader$")) do
    one.address = one.server:get_addr():gsub(":%d+$", "")
    if one.address ~= own_address then others[#others + 1] = one end
  end
  while true do
    core.msleep(look_ms)
    local unreached, count = {}, 0
    for _, other in ipairs(others) do
      if not is_unreached(other.server:get_stats()) then
        count = 0
        break
      end
      if not unreached[other.address] then count = count + 1 end
      unreached[other.address] = true
    end
    unreached_since_ms = count >= alone_hosts_min and (unreached_since_ms or now_ms()) or nil
  end
end

local function hold(txn, limit_ms, first, second)
  if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  local deadline_ms = now_ms() + tonumber(limit_ms)
  -- A pooler's connections wait as ever: it would remember being refused, and refuse its next client because of it, whenever that comes.
  local is_pooler = txn.f:src() == own_address
  repeat
    if is_alone() and not is_pooler then return act.DENY end
    core.msleep(pause_ms)
    if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  until now_ms() > deadline_ms
  return act.DENY
end

core.register_action("pgs_hold_leader", { "tcp-req" }, hold, 2)
core.register_action("pgs_hold_any", { "tcp-req" }, hold, 3)
core.register_action("pgs_not_alone", { "tcp-req" }, function(txn, backend)
  if is_alone() and txn.f:nbsrv(backend) == 0 then return act.DENY end
end, 1)

-- A leader whose Patroni does not answer is still the leader: it has its lease, and PostgreSQL goes on while Patroni is restarted or its
-- port is blocked. So in the backends named <tenant>:leader HAProxy is told to wait, and what takes a leader out at once is Patroni's
-- own word that it leads no more, somebody else who does, or this entry being alone. Without a word it is out after `fall` tenths of a
-- second (see haproxy/desired.ts), before its lease can end.

local function is_failing(check)
  return check:find("^L[467]") ~= nil and check:find("OK") == nil or check == "SOCKERR"
end

local function judge_leaders()
  local tenants = {}
  for _, one in ipairs(servers_of(":leader$")) do
    tenants[one.backend] = tenants[one.backend] or {}
    table.insert(tenants[one.backend], one)
  end
  while true do
    core.msleep(look_ms)
    local now = now_ms()
    for _, members in pairs(tenants) do
      local somebody_leads = false
      local doubtful = {}
      for _, member in ipairs(members) do
        local stats = member.server:get_stats()
        local check = last_check(stats)
        local up = stats.status:sub(1, 2) == "UP"
        if up and is_failing(check) then
          member.failing_since_ms = member.failing_since_ms or now
          member.said_no = check == "L7STS"
          member.silent_limit_ms = tonumber(stats.check_fall) * 100
          doubtful[#doubtful + 1] = member
        else
          member.failing_since_ms = nil
          somebody_leads = somebody_leads or up
        end
      end
      for _, member in ipairs(doubtful) do
        local silent_for_too_long = now - member.failing_since_ms > member.silent_limit_ms
        if member.said_no or somebody_leads or silent_for_too_long or is_alone() then member.server:check_force_down() end
      end
    end
  end
end

-- Sessions of servers that are down, in all backends named <tenant>:to-… and <tenant>:…poolers. HAProxy's own `on-marked-down
-- shutdown-sessions` would cut them at once, and with them also end those that are still being connected to a host that vanished; these
-- it ends on one side only, and their clients hang for ever. Here they have time to be redispatched.

-- And sessions with poolers of an entry that is alone and without a leader: their clients would wait in vain.

-- From the first look that finds a server down until its sessions are cut: longer than any preset's try to connect (2 s).
local cut_after_ms = 2500

local function cut_sessions_of_lost_servers()
  local watched = servers_of(":to%-")
  for _, one in ipairs(servers_of("poolers$")) do watched[#watched + 1] = one end
  local writers_poolers = servers_of(":poolers$")
  while true do
    core.msleep(look_ms)
    local now = now_ms()
    for _, one in ipairs(is_alone() and writers_poolers or {}) do
      local leader = one.backend:gsub(":poolers$", ":leader")
      if core.backends[leader]:get_srv_act() == 0 then one.server:shut_sess() end
    end
    for _, one in ipairs(watched) do
      local stats = one.server:get_stats()
      if stats.status:sub(1, 4) ~= "DOWN" then
        one.down_since_ms = nil
      else
        one.down_since_ms = one.down_since_ms or now
        if tonumber(stats.scur) > 0 and now - one.down_since_ms > cut_after_ms then one.server:shut_sess() end
      end
    end
  end
end

-- The script is loaded once for each thread, with a state of its own each time. Connections are held on every thread; to judge and to cut,
-- one is enough.
core.register_task(look_who_is_reached)
if core.thread <= 1 then
  core.register_task(judge_leaders)
  core.register_task(cut_sessions_of_lost_servers)
end
