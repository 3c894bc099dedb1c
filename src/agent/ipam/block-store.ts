// The blocks of IPAM as the agent keeps them: in the store, whichever that is.
export { blockOfObject, createBlockStore } from '../../store/index.ts'
