// Branded types: values whose mix-up would be an outage get a nominal type, minted by one constructor each.

declare const brand: unique symbol
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }
