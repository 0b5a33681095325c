/** Somebody with a password, and the private repositories that it opens. */
export interface User {
  readonly password: string;
  readonly repositories: readonly string[];
  /** Those that may be pushed to; the same unless given. */
  readonly pushes?: readonly string[];
  /** What a login gave, and what does for name and password in later requests for tokens. */
  readonly identityToken?: string;
}

/** Who may read what. */
export interface AccessOptions {
  /** Repositories that anonymous callers may not read; all others are public. */
  readonly privateRepositories?: readonly string[];
  readonly users?: Readonly<Record<string, User>>;
}

/** Who somebody is, as far as an Authorization header says; `wrong` for unknown names and wrong passwords. */
export type Caller = { readonly name: string } | 'anonymous' | 'wrong';

/** The name with which an identity token is sent where only name and password can be. */
const IDENTITY_USER = '00000000-0000-0000-0000-000000000000';

/** Who may read which repository; may be changed at any time. */
export class Access {
  readonly privateRepositories: Set<string>;
  readonly users: Map<string, User>;
  /** Is there such a repository? What is not there is closed to everybody where this says no; by default it never does. */
  isKnown: (repository: string) => boolean = () => true;

  constructor(options: AccessOptions = {}) {
    this.privateRepositories = new Set(options.privateRepositories);
    this.users = new Map(Object.entries(options.users ?? {}));
  }

  /** Reads `Basic` credentials. */
  callerOf(authorization: string | undefined): Caller {
    if (authorization === undefined) return 'anonymous';
    const encoded = /^basic +(?<encoded>\S+)$/i.exec(authorization)?.groups?.['encoded'] ?? '';
    const [name = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':');
    return this.login(name, password.join(':'));
  }

  login(name: string, password: string): Caller {
    if (name === IDENTITY_USER) return this.identified(password);
    return this.users.get(name)?.password === password ? { name } : 'wrong';
  }

  /** The user whose identity token it is. */
  identified(token: string): Caller {
    const [name] = [...this.users].find(([, user]) => user.identityToken === token) ?? [];
    return name === undefined ? 'wrong' : { name };
  }

  mayPush(caller: Caller, repository: string): boolean {
    const user = typeof caller === 'string' ? undefined : this.users.get(caller.name);
    return (user?.pushes ?? user?.repositories)?.includes(repository) === true;
  }

  mayRead(caller: Caller, repository: string): boolean {
    if (caller === 'wrong' || !this.isKnown(repository)) return false;
    if (!this.privateRepositories.has(repository)) return true;
    return caller !== 'anonymous' && this.users.get(caller.name)?.repositories.includes(repository) === true;
  }
}
