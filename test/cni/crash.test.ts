// The agent dies between any two steps of ADD or DEL; another one starts over what is left. Whatever the step: after that and a DEL
// nothing is left, and before the DEL nothing that the runtime was told of is gone.
import { describe, expect, test } from '@jest/globals'
import { CONFIG, environment, type Step, settle, World } from './world.ts'

type Death = { readonly step: Step; readonly after: boolean; readonly nth: number }

/** Every place where a command can be cut off: before and after each call of a port. */
async function placesOf(command: 'ADD' | 'DEL'): Promise<readonly Death[]> {
  await using world = await World.create()
  if (command === 'DEL') await world.agent.call(environment('ADD'), CONFIG)
  const places: Death[] = []
  const seen = new Map<string, number>()
  world.agent.onStep = (step, after) => {
    const nth = seen.get(`${step}${after}`) ?? 0
    seen.set(`${step}${after}`, nth + 1)
    places.push({ step, after, nth })
  }
  await world.agent.call(environment(command), CONFIG)
  await settle(() => command === 'ADD' || world.leftovers().length === 0)
  return places
}

/** Runs a command on an agent that dies at `death`; resolves when it is dead or has answered. */
async function runUntil(world: World, command: 'ADD' | 'DEL', death: Death): Promise<void> {
  const { agent } = world
  let nth = 0
  const dead = new Promise<void>((resolve) => {
    agent.onStep = (step, after) => {
      if (step !== death.step || after !== death.after || nth++ !== death.nth) return
      agent.isDead = true
      resolve()
    }
  })
  await Promise.race([dead, agent.call(environment(command), CONFIG).then(() => dead)])
}

const adds = await placesOf('ADD')
const dels = await placesOf('DEL')

test('there are places to die at', () => {
  expect(adds.length).toBeGreaterThanOrEqual(10)
  expect(dels.length).toBeGreaterThanOrEqual(10)
})

describe.each(adds)('ADD cut off at $step (after: $after, nth: $nth)', (death) => {
  test('the next agent undoes what nobody was told of; DEL leaves nothing [cni 31, 42]', async () => {
    await using world = await World.create()
    await runUntil(world, 'ADD', death)
    await world.restart()
    const isToldPerhaps = death.step === 'put' && death.after && death.nth === 1 // `attached` is written, the answer perhaps sent
    if (isToldPerhaps) expect(world.links.size).toBe(1)
    else await settle(() => world.leftovers().length === 0)
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })

  test('DEL at once, and then ADD, work', async () => {
    await using world = await World.create()
    await runUntil(world, 'ADD', death)
    await world.restart()
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    expect((await world.agent.call(environment('ADD'), CONFIG)).exitStatus).toBe(0)
    expect(world.leftovers()).toHaveLength(4)
  })

  test('GC that knows of nothing leaves nothing [cni 54]', async () => {
    await using world = await World.create()
    await runUntil(world, 'ADD', death)
    await world.restart()
    expect((await world.agent.call(environment('GC'), { ...CONFIG, 'cni.dev/valid-attachments': [] })).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })
})

describe.each(dels)('DEL cut off at $step (after: $after, nth: $nth)', (death) => {
  test('repeated with the next agent it leaves nothing [cni 37, 43]', async () => {
    await using world = await World.create()
    await world.agent.call(environment('ADD'), CONFIG)
    await runUntil(world, 'DEL', death)
    await world.restart()
    expect((await world.agent.call(environment('DEL'), CONFIG)).exitStatus).toBe(0)
    await settle(() => world.leftovers().length === 0)
  })
})
