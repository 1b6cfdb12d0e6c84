-- Written by pgs. Holds a new connection while no member can take it: HAProxy itself would close it at once.
--
--   tcp-request content lua.pgs_hold_leader <limit, ms> <backend>
--   tcp-request content lua.pgs_hold_any <limit, ms> <backend> <backend>
--
-- Goes on as soon as one of the backends has a usable server, and closes the connection when the limit is over.

local pause_ms = 40

local function now_ms()
  local now = core.now()
  return now.sec * 1000 + now.usec / 1000
end

local function hold(txn, limit_ms, first, second)
  if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  local deadline_ms = now_ms() + tonumber(limit_ms)
  repeat
    core.msleep(pause_ms)
    if txn.f:nbsrv(first) > 0 or (second and txn.f:nbsrv(second) > 0) then return end
  until now_ms() > deadline_ms
  return act.DENY
end

core.register_action("pgs_hold_leader", { "tcp-req" }, hold, 2)
core.register_action("pgs_hold_any", { "tcp-req" }, hold, 3)
